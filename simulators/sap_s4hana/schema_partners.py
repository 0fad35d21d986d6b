"""Business partners and credit: API_BUSINESS_PARTNER, API_CRDTMBUSINESSPARTNER. See `schema_goods`.

The credit service has no public EDMX: its names are those of SAP's help page and of a sandbox answer, its lengths those
of the same words elsewhere.
"""

from __future__ import annotations

from simulators.sap_s4hana.schema import EntitySet, many, names, one, properties

PARTNERS = "API_BUSINESS_PARTNER"
CREDIT = "API_CRDTMBUSINESSPARTNER"

_AREA = "SalesOrganization DistributionChannel Division"

SETS = (
    EntitySet(
        PARTNERS,
        "A_BusinessPartner",
        properties(
            "BusinessPartner:10 Customer:10 BusinessPartnerCategory:1 BusinessPartnerFullName:81"
            " CorrespondenceLanguage:2 FirstName:40 LastName:40 OrganizationBPName1:40 OrganizationBPName2:40"
            " OrganizationBPName3:40 OrganizationBPName4:40 SearchTerm1:20 BusinessPartnerGrouping:4"
            " BusinessPartnerIDByExtSystem:20 BusinessPartnerIsBlocked:flag IsMarkedForArchiving:flag"
            " LastChangeDate:day LastChangeTime:time LastChangedByUser:12 CreationDate:day CreationTime:time"
            " CreatedByUser:12 ETag:26",
            alpha="BusinessPartner Customer",
        ),
        ("BusinessPartner",),
        navigations={
            "to_BusinessPartnerAddress": many("A_BusinessPartnerAddress", "BusinessPartner"),
            "to_BusinessPartnerRole": many("A_BusinessPartnerRole", "BusinessPartner"),
            "to_BusinessPartnerTax": many("A_BusinessPartnerTaxNumber", "BusinessPartner"),
            "to_BusinessPartnerContact": many("A_BusinessPartnerContact", "BusinessPartnerCompany=BusinessPartner"),
            "to_Customer": one("A_Customer", "Customer"),
        },
        read_only=names(
            "Customer BusinessPartnerFullName LastChangeDate LastChangeTime LastChangedByUser CreationDate CreationTime"
            " CreatedByUser ETag"
        ),
        may=names("POST PATCH"),
        indexed=(("Customer",), ("BusinessPartnerIDByExtSystem",)),
    ),
    EntitySet(
        PARTNERS,
        "A_BusinessPartnerAddress",
        properties(
            "BusinessPartner:10 AddressID:10 AddressIDByExternalSystem:20 StreetName:60 HouseNumber:10 PostalCode:10"
            " CityName:40 Region:3 Country:3 Language:2",
            alpha="BusinessPartner AddressID",
        ),
        ("BusinessPartner", "AddressID"),
        navigations={
            "to_AddressUsage": many("A_BuPaAddressUsage", "BusinessPartner", "AddressID"),
            "to_EmailAddress": many("A_AddressEmailAddress", "AddressID"),
            "to_PhoneNumber": many("A_AddressPhoneNumber", "AddressID"),
            "to_URLAddress": many("A_AddressHomePageURL", "AddressID"),
        },
        may=names("POST PATCH DELETE"),
        indexed=(("BusinessPartner",), ("AddressID",)),
    ),
    EntitySet(
        PARTNERS,
        "A_BuPaAddressUsage",
        properties(
            "BusinessPartner:10 ValidityEndDate:moment AddressUsage:10 AddressID:10 StandardUsage:flag",
            alpha="BusinessPartner AddressID",
        ),
        ("BusinessPartner", "ValidityEndDate", "AddressUsage", "AddressID"),
        may=names("POST DELETE"),
        indexed=(("BusinessPartner", "AddressID"),),
    ),
    EntitySet(
        PARTNERS,
        "A_AddressEmailAddress",
        properties(
            "AddressID:10 Person:10 OrdinalNumber:3 EmailAddress:241 IsDefaultEmailAddress:flag",
            alpha="AddressID OrdinalNumber",
        ),
        ("AddressID", "Person", "OrdinalNumber"),
        may=names("POST PATCH DELETE"),
        indexed=(("AddressID",),),
    ),
    EntitySet(
        PARTNERS,
        "A_AddressPhoneNumber",
        properties(
            "AddressID:10 Person:10 OrdinalNumber:3 PhoneNumber:30 PhoneNumberType:1 InternationalPhoneNumber:30"
            " IsDefaultPhoneNumber:flag",
            alpha="AddressID OrdinalNumber",
        ),
        ("AddressID", "Person", "OrdinalNumber"),
        read_only=names("InternationalPhoneNumber"),
        may=names("POST PATCH DELETE"),
        indexed=(("AddressID",),),
    ),
    EntitySet(
        PARTNERS,
        "A_AddressHomePageURL",
        properties(
            "AddressID:10 Person:10 OrdinalNumber:3 ValidityStartDate:day IsDefaultURLAddress:flag WebsiteURL:2048",
            alpha="AddressID OrdinalNumber",
        ),
        ("AddressID", "Person", "OrdinalNumber", "ValidityStartDate", "IsDefaultURLAddress"),
        may=names("POST PATCH DELETE"),
        indexed=(("AddressID",),),
    ),
    EntitySet(
        PARTNERS,
        "A_BusinessPartnerRole",
        properties("BusinessPartner:10 BusinessPartnerRole:6", alpha="BusinessPartner"),
        ("BusinessPartner", "BusinessPartnerRole"),
        may=names("POST"),
        indexed=(("BusinessPartner",),),
    ),
    EntitySet(
        PARTNERS,
        "A_BusinessPartnerTaxNumber",
        properties("BusinessPartner:10 BPTaxType:4 BPTaxNumber:20", alpha="BusinessPartner"),
        ("BusinessPartner", "BPTaxType"),
        may=names("POST PATCH DELETE"),
        indexed=(("BusinessPartner",),),
    ),
    EntitySet(
        PARTNERS,
        "A_Customer",
        properties(
            "Customer:10 CustomerAccountGroup:4 VATRegistration:20 BillingIsBlockedForCustomer:2 DeliveryIsBlocked:2"
            " OrderIsBlockedForCustomer:2 DeletionIndicator:flag",
            alpha="Customer",
        ),
        ("Customer",),
        navigations={
            "to_CustomerSalesArea": many("A_CustomerSalesArea", "Customer"),
            "to_CustomerCompany": many("A_CustomerCompany", "Customer"),
        },
        may=names("PATCH"),
    ),
    EntitySet(
        PARTNERS,
        "A_CustomerCompany",
        properties("Customer:10 CompanyCode:4 ReconciliationAccount:10", alpha="Customer"),
        ("Customer", "CompanyCode"),
        may=names("POST PATCH"),
        indexed=(("Customer",),),
    ),
    EntitySet(
        PARTNERS,
        "A_CustomerSalesArea",
        properties(
            "Customer:10 SalesOrganization:4 DistributionChannel:2 Division:2 Currency:5 CustomerPaymentTerms:4"
            " CustomerPriceGroup:2 PriceListType:2 CustomerGroup:2 CreditControlArea:4 OrderIsBlockedForCustomer:2"
            " DeliveryIsBlockedForCustomer:2 BillingIsBlockedForCustomer:2 DeletionIndicator:flag SalesOffice:4"
            " SalesGroup:3 SalesDistrict:6 ShippingCondition:2 SupplyingPlant:4",
            alpha="Customer",
        ),
        ("Customer", *_AREA.split()),
        navigations={"to_PartnerFunction": many("A_CustSalesPartnerFunc", "Customer", *_AREA.split())},
        may=names("POST PATCH"),
        indexed=(("Customer",),),
    ),
    EntitySet(
        PARTNERS,
        "A_CustSalesPartnerFunc",
        properties(
            "Customer:10 SalesOrganization:4 DistributionChannel:2 Division:2 PartnerCounter:3 PartnerFunction:2"
            " BPCustomerNumber:10 DefaultPartner:flag",
            alpha="Customer BPCustomerNumber",
        ),
        ("Customer", *_AREA.split(), "PartnerCounter", "PartnerFunction"),
        may=names("POST PATCH DELETE"),
        indexed=(("Customer", *_AREA.split()),),
    ),
    EntitySet(
        PARTNERS,
        "A_BusinessPartnerContact",
        properties(
            "RelationshipNumber:12 BusinessPartnerCompany:10 BusinessPartnerPerson:10 ValidityEndDate:day"
            " ValidityStartDate:day IsStandardRelationship:flag",
            alpha="RelationshipNumber BusinessPartnerCompany BusinessPartnerPerson",
        ),
        ("RelationshipNumber", "BusinessPartnerCompany", "BusinessPartnerPerson", "ValidityEndDate"),
        navigations={
            "to_ContactRelationship": one(
                "A_BPContactToFuncAndDept",
                *("RelationshipNumber", "BusinessPartnerCompany", "BusinessPartnerPerson", "ValidityEndDate"),
            )
        },
        indexed=(("BusinessPartnerCompany",),),
    ),
    EntitySet(
        PARTNERS,
        "A_BPContactToFuncAndDept",
        properties(
            "RelationshipNumber:12 BusinessPartnerCompany:10 BusinessPartnerPerson:10 ValidityEndDate:day"
            " ContactPersonFunction:4 ContactPersonFunctionName:40 ContactPersonDepartmentName:40 EmailAddress:241"
            " PhoneNumber:30",
            alpha="RelationshipNumber BusinessPartnerCompany BusinessPartnerPerson",
        ),
        ("RelationshipNumber", "BusinessPartnerCompany", "BusinessPartnerPerson", "ValidityEndDate"),
        indexed=(("RelationshipNumber", "BusinessPartnerCompany", "BusinessPartnerPerson", "ValidityEndDate"),),
    ),
    EntitySet(
        CREDIT,
        "CreditManagementAccount",
        properties(
            "BusinessPartner:10 CreditSegment:10 BusinessPartnerIsCritical:flag CreditAccountIsBlocked:flag"
            " CreditAccountBlockReason:2 CreditLimitAmount:16.3 CreditLimitValidityEndDate:day CreditLimitIsZero:flag"
            " CreditSegmentCurrency:5",
            alpha="BusinessPartner",
        ),
        ("BusinessPartner", "CreditSegment"),
    ),
)
