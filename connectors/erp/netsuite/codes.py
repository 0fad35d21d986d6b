"""Countries and languages: NetSuite's own words for them (`_germany`, `_frenchCanada`) and the codes of the world.

The words are those of the contract's `Country` and `Language`; a test holds both tables against it.
"""

from __future__ import annotations

from collections.abc import Mapping

_COUNTRIES = """
AD andorra, AE unitedArabEmirates, AF afghanistan, AG antiguaAndBarbuda, AI anguilla, AL albania, AM armenia,
AO angola, AQ antarctica, AR argentina, AS americanSamoa, AT austria, AU australia, AW aruba, AX alandIslands,
AZ azerbaijan, BA bosniaAndHerzegovina, BB barbados, BD bangladesh, BE belgium, BF burkinaFaso, BG bulgaria,
BH bahrain, BI burundi, BJ benin, BL saintBarthelemy, BM bermuda, BN bruneiDarussalam,
BO boliviaPlurinationalStateOf, BQ bonaireSintEustatiusAndSaba, BR brazil, BS bahamas, BT bhutan, BV bouvetIsland,
BW botswana, BY belarus, BZ belize, CA canada, CC cocosKeelingIslands, CD congoTheDemocraticRepublicOfThe,
CF centralAfricanRepublic, CG congo, CH switzerland, CI coteDIvoire, CK cookIslands, CL chile, CM cameroon,
CN china, CO colombia, CR costaRica, CU cuba, CV caboVerde, CW curacao, CX christmasIsland, CY cyprus, CZ czechia,
DE germany, DJ djibouti, DK denmark, DM dominica, DO dominicanRepublic, DZ algeria, EA ceutaAndMelilla,
EC ecuador, EE estonia, EG egypt, EH westernSahara, ER eritrea, ES spain, ET ethiopia, FI finland, FJ fiji,
FK falklandIslandsMalvinas, FM micronesiaFederatedStatesOf, FO faroeIslands, FR france, GA gabon,
GB unitedKingdom, GD grenada, GE georgia, GF frenchGuiana, GG guernsey, GH ghana, GI gibraltar, GL greenland,
GM gambia, GN guinea, GP guadeloupe, GQ equatorialGuinea, GR greece, GS southGeorgiaAndTheSouthSandwichIslands,
GT guatemala, GU guam, GW guineaBissau, GY guyana, HK hongKong, HM heardIslandAndMcdonaldIslands, HN honduras,
HR croatia, HT haiti, HU hungary, IC canaryIslands, ID indonesia, IE ireland, IL israel, IM isleOfMan, IN india,
IO britishIndianOceanTerritory, IQ iraq, IR iranIslamicRepublicOf, IS iceland, IT italy, JE jersey, JM jamaica,
JO jordan, JP japan, KE kenya, KG kyrgyzstan, KH cambodia, KI kiribati, KM comoros, KN saintKittsAndNevis,
KP koreaTheDemocraticPeoplesRepublicOf, KR koreaTheRepublicOf, KW kuwait, KY caymanIslands, KZ kazakhstan,
LA laoPeoplesDemocraticRepublic, LB lebanon, LC saintLucia, LI liechtenstein, LK sriLanka, LR liberia, LS lesotho,
LT lithuania, LU luxembourg, LV latvia, LY libya, MA morocco, MC monaco, MD moldovaTheRepublicOf, ME montenegro,
MF saintMartinFrenchPart, MG madagascar, MH marshallIslands, MK northMacedonia, ML mali, MM myanmar, MN mongolia,
MO macao, MP northernMarianaIslands, MQ martinique, MR mauritania, MS montserrat, MT malta, MU mauritius,
MV maldives, MW malawi, MX mexico, MY malaysia, MZ mozambique, NA namibia, NC newCaledonia, NE niger,
NF norfolkIsland, NG nigeria, NI nicaragua, NL netherlands, NO norway, NP nepal, NR nauru, NU niue, NZ newZealand,
OM oman, PA panama, PE peru, PF frenchPolynesia, PG papuaNewGuinea, PH philippines, PK pakistan, PL poland,
PM saintPierreAndMiquelon, PN pitcairn, PR puertoRico, PS palestineStateOf, PT portugal, PW palau, PY paraguay,
QA qatar, RE reunion, RO romania, RS serbia, RU russianFederation, RW rwanda, SA saudiArabia, SB solomonIslands,
SC seychelles, SD sudan, SE sweden, SG singapore, SH saintHelenaAscensionAndTristanDaCunha, SI slovenia,
SJ svalbardAndJanMayen, SK slovakia, SL sierraLeone, SM sanMarino, SN senegal, SO somalia, SR suriname,
SS southSudan, ST saoTomeAndPrincipe, SV elSalvador, SX sintMaartenDutchPart, SY syrianArabRepublic, SZ eswatini,
TC turksAndCaicosIslands, TD chad, TF frenchSouthernTerritories, TG togo, TH thailand, TJ tajikistan, TK tokelau,
TL timorLeste, TM turkmenistan, TN tunisia, TO tonga, TR turkiye, TT trinidadAndTobago, TV tuvalu, TW taiwan,
TZ tanzaniaTheUnitedRepublicOf, UA ukraine, UG uganda, UM unitedStatesMinorOutlyingIslands, US unitedStates,
UY uruguay, UZ uzbekistan, VA holySee, VC saintVincentAndTheGrenadines, VE venezuelaBolivarianRepublicOf,
VG virginIslandsBritish, VI virginIslandsUS, VN vietNam, VU vanuatu, WF wallisAndFutunaIslands, WS samoa,
XK kosovo, YE yemen, YT mayotte, ZA southAfrica, ZM zambia, ZW zimbabwe
"""

_LANGUAGES = """
af afrikaans, sq albanian, ar arabic, hy armenian, bn bengali, bs bosnian, bg bulgarian, ca catalan,
zh-CN chineseSimplified, zh-TW chineseTraditional, hr croatian, cs czech, da danish, nl dutch, en-AU englishAu,
en-CA englishCa, en englishInternational, en-GB englishUK, en-US englishUS, et estonian, fil filipino, fi finnish,
fr-CA frenchCanada, fr frenchFrance, de german, el greek, gu gujarati, ht haitian, he hebrew, hi hindi,
hu hungarian, is icelandic, id indonesian, it italian, ja japanese, kn kannada, ko korean,
es-419 latinAmericanSpanish, lv latvian, lt lithuanian, lb luxembourgish, ms malay, mr marathi, no norwegian,
fa persianIran, pl polish, pt-BR portugueseBrazil, pt portuguesePortugal, pa punjabi, ro romanian, ru russian,
sr-Cyrl serbianCyrillic, sr-Latn serbianLatin, sk slovak, sl slovenian, es spanish, sv swedish, ta tamil,
te telugu, th thai, tr turkish, uk ukrainian, vi vietnamese
"""


def _table(text: str) -> dict[str, str]:
    pairs = (pair.split() for pair in text.replace("\n", " ").split(","))
    return {f"_{word}": code for code, word in pairs}


COUNTRIES: Mapping[str, str] = _table(_COUNTRIES)
"""`_germany` -> `DE`: ISO 3166-1 alpha-2, with the reserved IC, EA and XK for what has no code of its own."""

LANGUAGES: Mapping[str, str] = _table(_LANGUAGES)
"""`_frenchCanada` -> `fr-CA`: BCP 47."""

COUNTRY_WORDS: Mapping[str, str] = {code: word for word, code in COUNTRIES.items()}
LANGUAGE_WORDS: Mapping[str, str] = {tag.lower(): word for word, tag in LANGUAGES.items()}


def language_word(tag: str) -> str | None:
    """NetSuite's word for a language tag, in any spelling; the language alone where the region has none of its own."""
    wanted = tag.replace("_", "-").lower()
    return LANGUAGE_WORDS.get(wanted) or LANGUAGE_WORDS.get(wanted.partition("-")[0])
