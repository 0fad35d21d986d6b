"""Where an organisation's day begins: Xero's words for time zones and the places of the time zone database.

Xero's word is the Windows name without spaces and dots; the places are those that Unicode CLDR (windowsZones) gives for
them, for the countries that Xero is sold in and their neighbours. A zone that is not here is given by `time_zone`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

log = logging.getLogger("counterfoil.xero")

PLACES: Mapping[str, str] = {
    "ARABIANSTANDARDTIME": "Asia/Dubai",
    "ARABSTANDARDTIME": "Asia/Riyadh",
    "ATLANTICSTANDARDTIME": "America/Halifax",
    "AUSCENTRALSTANDARDTIME": "Australia/Darwin",
    "AUSCENTRALWSTANDARDTIME": "Australia/Eucla",
    "AUSEASTERNSTANDARDTIME": "Australia/Sydney",
    "CANADACENTRALSTANDARDTIME": "America/Regina",
    "CENAUSTRALIASTANDARDTIME": "Australia/Adelaide",
    "CENTRALEUROPEANSTANDARDTIME": "Europe/Warsaw",
    "CENTRALEUROPESTANDARDTIME": "Europe/Budapest",
    "CENTRALPACIFICSTANDARDTIME": "Pacific/Guadalcanal",
    "CENTRALSTANDARDTIME": "America/Chicago",
    "CENTRALSTANDARDTIME(MEXICO)": "America/Mexico_City",
    "CHATHAMISLANDSSTANDARDTIME": "Pacific/Chatham",
    "CHINASTANDARDTIME": "Asia/Shanghai",
    "EAFRICASTANDARDTIME": "Africa/Nairobi",
    "EASTERNSTANDARDTIME": "America/New_York",
    "EAUSTRALIASTANDARDTIME": "Australia/Brisbane",
    "EEUROPESTANDARDTIME": "Europe/Chisinau",
    "EGYPTSTANDARDTIME": "Africa/Cairo",
    "ESOUTHAMERICASTANDARDTIME": "America/Sao_Paulo",
    "FIJISTANDARDTIME": "Pacific/Fiji",
    "FLESTANDARDTIME": "Europe/Kyiv",
    "GMTSTANDARDTIME": "Europe/London",
    "GREENWICHSTANDARDTIME": "Atlantic/Reykjavik",
    "GTBSTANDARDTIME": "Europe/Bucharest",
    "HAWAIIANSTANDARDTIME": "Pacific/Honolulu",
    "INDIASTANDARDTIME": "Asia/Kolkata",
    "ISRAELSTANDARDTIME": "Asia/Jerusalem",
    "KOREASTANDARDTIME": "Asia/Seoul",
    "LORDHOWESTANDARDTIME": "Australia/Lord_Howe",
    "MAURITIUSSTANDARDTIME": "Indian/Mauritius",
    "MOUNTAINSTANDARDTIME": "America/Denver",
    "NAMIBIASTANDARDTIME": "Africa/Windhoek",
    "NEWFOUNDLANDSTANDARDTIME": "America/St_Johns",
    "NEWZEALANDSTANDARDTIME": "Pacific/Auckland",
    "NORFOLKSTANDARDTIME": "Pacific/Norfolk",
    "PACIFICSTANDARDTIME": "America/Los_Angeles",
    "PAKISTANSTANDARDTIME": "Asia/Karachi",
    "ROMANCESTANDARDTIME": "Europe/Paris",
    "SAMOASTANDARDTIME": "Pacific/Apia",
    "SEASIASTANDARDTIME": "Asia/Bangkok",
    "SINGAPORESTANDARDTIME": "Asia/Singapore",
    "SOUTHAFRICASTANDARDTIME": "Africa/Johannesburg",
    "SRILANKASTANDARDTIME": "Asia/Colombo",
    "TAIPEISTANDARDTIME": "Asia/Taipei",
    "TASMANIASTANDARDTIME": "Australia/Hobart",
    "TOKYOSTANDARDTIME": "Asia/Tokyo",
    "TONGASTANDARDTIME": "Pacific/Tongatapu",
    "TURKEYSTANDARDTIME": "Europe/Istanbul",
    "USMOUNTAINSTANDARDTIME": "America/Phoenix",
    "UTC": "Etc/UTC",
    "WAUSTRALIASTANDARDTIME": "Australia/Perth",
    "WCENTRALAFRICASTANDARDTIME": "Africa/Lagos",
    "WESTPACIFICSTANDARDTIME": "Pacific/Port_Moresby",
    "WEUROPESTANDARDTIME": "Europe/Berlin",
}


def zone_of(word: str, configured: str | None) -> tzinfo:
    """The zone of an organisation; UTC, with a warning, where neither word nor setting tells one."""
    place = configured or PLACES.get(word)
    try:
        return ZoneInfo(place or "")
    except (KeyError, ValueError, OSError):
        log.warning("the organisation's time zone %s is not known here: its day is taken for that of UTC", word or "?")
        return UTC
