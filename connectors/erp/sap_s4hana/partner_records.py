"""The shapes of business partners and what hangs on them: accounts, contacts, credit. See `records`."""

from __future__ import annotations

from connectors.erp.sap_s4hana.records import AS_OF
from connectors.shapes import Shape

_ADDRESS: Shape = {
    "AddressID": "text",
    "AddressIDByExternalSystem": "text",
    "CityName": "text",
    "Country": "text",
    "HouseNumber": "text",
    "Language": "text",
    "PostalCode": "text",
    "Region": "text",
    "StreetName": "text",
}

_EMAIL: Shape = {"Person": "text", "OrdinalNumber": "text", "IsDefaultEmailAddress": "boolean", "EmailAddress": "text"}
_PHONE: Shape = {
    "Person": "text",
    "OrdinalNumber": "text",
    "IsDefaultPhoneNumber": "boolean",
    "PhoneNumber": "text",
    "PhoneNumberType": "text",
    "InternationalPhoneNumber": "text",
}
_HOME_PAGE: Shape = {
    "Person": "text",
    "OrdinalNumber": "text",
    "ValidityStartDate": "date",
    "IsDefaultURLAddress": "boolean",
    "WebsiteURL": "text",
}

ADDRESS: Shape = {
    **_ADDRESS,
    "to_AddressUsage": [{"AddressUsage": "text", "StandardUsage": "boolean"}],
    "to_EmailAddress": [_EMAIL],
    "to_PhoneNumber": [_PHONE],
    "to_URLAddress": [_HOME_PAGE],
}

SALES_AREA: Shape = {
    "SalesOrganization": "text",
    "DistributionChannel": "text",
    "Division": "text",
    "Currency": "text",
    "CustomerPaymentTerms": "text",
    "CustomerPriceGroup": "text",
    "PriceListType": "text",
    "CustomerGroup": "text",
    "CreditControlArea": "text",
    "OrderIsBlockedForCustomer": "text",
    "DeliveryIsBlockedForCustomer": "text",
    "BillingIsBlockedForCustomer": "text",
    "DeletionIndicator": "boolean",
    "SalesOffice": "text",
    "SalesGroup": "text",
    "SalesDistrict": "text",
    "ShippingCondition": "text",
    "SupplyingPlant": "text",
}

_SALES_AREA_READ: Shape = {
    **SALES_AREA,
    "to_PartnerFunction": [
        {
            "PartnerCounter": "text",
            "PartnerFunction": "text",
            "BPCustomerNumber": "text",
            "DefaultPartner": "boolean",
        }
    ],
}

_PARTNER: Shape = {
    "BusinessPartner": "text",
    "Customer": "text",
    "BusinessPartnerCategory": "text",
    "BusinessPartnerFullName": "text",
    "CorrespondenceLanguage": "text",
    "FirstName": "text",
    "LastName": "text",
    "OrganizationBPName1": "text",
    "OrganizationBPName2": "text",
    "OrganizationBPName3": "text",
    "OrganizationBPName4": "text",
    "SearchTerm1": "text",
    "BusinessPartnerGrouping": "text",
    "BusinessPartnerIsBlocked": "boolean",
    "BusinessPartnerIDByExtSystem": "text",
    "IsMarkedForArchiving": "boolean",
    "LastChangeDate": "date",
    "LastChangeTime": "text",
    "CreationDate": "date",
    "CreationTime": "text",
    "ETag": "text",
}

_CUSTOMER: Shape = {
    "Customer": "text",
    "BillingIsBlockedForCustomer": "text",
    "DeliveryIsBlocked": "text",
    "OrderIsBlockedForCustomer": "text",
    "DeletionIndicator": "boolean",
    "CustomerAccountGroup": "text",
    "VATRegistration": "text",
}

PARTNER_READ: Shape = {
    **_PARTNER,
    "to_BusinessPartnerAddress": [ADDRESS],
    "to_BusinessPartnerRole": [{"BusinessPartnerRole": "text"}],
    "to_BusinessPartnerTax": [{"BPTaxType": "text", "BPTaxNumber": "text"}],
    "to_Customer": {**_CUSTOMER, "to_CustomerSalesArea": [_SALES_AREA_READ]},
}
"""What is asked of a business partner, for the account stream and before an update."""

ACCOUNT: Shape = {
    **_PARTNER,
    "to_BusinessPartnerRole": [{"BusinessPartnerRole": "text"}],
    "to_BusinessPartnerTax": [{"BPTaxType": "text", "BPTaxNumber": "text"}],
    "to_Customer": _CUSTOMER,
    "@name": "text",
    "@email": "text",
    "@phone": "text",
    "@website": "text",
    "@tax_number": "text",
    "@sales_area": SALES_AREA,
    "@price_list": "text",
    "@addresses": [
        {
            **_ADDRESS,
            "code": "text",
            "name": "text",
            "is_standard": "boolean",
            "is_ship_to": "boolean",
            "is_bill_to": "boolean",
        }
    ],
}

PARTNER_ADDRESS: Shape = {
    **{
        name: word
        for name, word in _PARTNER.items()
        if name.startswith(("Business", "Customer", "First", "Last", "Org"))
    },
    "to_BusinessPartnerAddress": [{**_ADDRESS, "to_AddressUsage": [{"AddressUsage": "text"}]}],
}
"""What is asked of a ship-to or bill-to party."""

CONTACT_READ: Shape = {
    "RelationshipNumber": "text",
    "BusinessPartnerCompany": "text",
    "BusinessPartnerPerson": "text",
    "ValidityStartDate": "date",
    "ValidityEndDate": "date",
    "IsStandardRelationship": "boolean",
    "to_ContactRelationship": {
        "ContactPersonFunction": "text",
        "ContactPersonFunctionName": "text",
        "ContactPersonDepartmentName": "text",
        "EmailAddress": "text",
        "PhoneNumber": "text",
    },
}

CONTACT: Shape = {**CONTACT_READ, "@name": "text", "@customer": "text"}

CREDIT_ACCOUNT: Shape = {
    "BusinessPartner": "text",
    "CreditSegment": "text",
    "BusinessPartnerIsCritical": "boolean",
    "CreditAccountIsBlocked": "boolean",
    "CreditAccountBlockReason": "text",
    "CreditLimitAmount": "number",
    "CreditLimitValidityEndDate": "date",
    "CreditLimitIsZero": "boolean",
    "CreditSegmentCurrency": "text",
    "@customer": "text",
    AS_OF: "instant",
}
