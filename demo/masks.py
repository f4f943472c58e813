"""What anonymized values must look like. Where the exact text is the daemon's choice, the properties that matter count."""
import ipaddress
import re
from urllib.parse import urlsplit

from demo.dataset import Masked


def truncated_ip(text):
    if text is None:
        return None
    address = ipaddress.ip_address(text)
    if address.version == 6 and address.ipv4_mapped:
        address = address.ipv4_mapped
    network = ipaddress.ip_network(f"{address}/{24 if address.version == 4 else 48}", strict=False)
    return Masked("truncated ip", text,
                  lambda value: ipaddress.ip_interface(value).ip == network.network_address)


def pseudonym(text):
    """Hides the value; equal values have equal pseudonyms (the comparison holds that over all rows)."""
    if text is None:
        return None
    return Masked("pseudonym", text, lambda value: value != text and re.search(r"[0-9a-f]{16,}", value) and "CANARY" not in value)


def browser_family(text):
    if text is None:
        return None
    family = next((name for name in ("Firefox", "Edg", "Chrome", "Safari") if f"{name}/" in text), None)
    return Masked("browser family", text, lambda value: "CANARY" not in value and len(value) <= 60
                  and (family is None or family.lower() in value.lower()))


def stripped_url(text):
    if text is None:
        return None
    parts = urlsplit(text)
    return f"{parts.scheme}://{parts.hostname}{parts.path}"


def host(text):
    return None if text is None else urlsplit(text).hostname


def some_time():
    return Masked("time of anonymization", None, lambda value: value is not None)
