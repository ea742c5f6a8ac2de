"""How the members know each other: by certificates of the mesh CA for the service postgres. Those have no name of a host,
only the URI of their service, which neither Python nor urllib3 compares with anything."""
import ssl

LEAF = "/secrets/tls/leaf.pem"  # certificate and key
CA = "/secrets/tls/ca.pem"
SERVICE = "/svc/postgres"


def is_member(certificate) -> bool:
    """Whether a certificate, as getpeercert returns it, is of a member.

    >>> def leaf(*names): return {"subjectAltName": tuple(("URI", name) for name in names)}
    >>> is_member(leaf("spiffe://1.consul/ns/default/dc/dc1/svc/postgres"))
    True
    >>> is_member(leaf("spiffe://1.consul/ns/default/dc/dc1/svc/gateway"))
    False
    >>> is_member(leaf("https://1.consul/svc/postgres"))
    False
    >>> is_member(leaf("spiffe://1.consul/svc/postgres", "spiffe://1.consul/svc/gateway"))
    False
    >>> is_member({}) or is_member(None)
    False
    """
    names = [value for kind, value in (certificate or {}).get("subjectAltName", ()) if kind == "URI"]
    return len(names) == 1 and names[0].startswith("spiffe://") and names[0].endswith(SERVICE)


def require_member(connection: ssl.SSLSocket):
    """Raises an OSError unless the other end is a member."""
    if not is_member(connection.getpeercert()):
        raise ssl.SSLError("the certificate is of another service")


def context() -> ssl.SSLContext:
    """What a client of a member's REST API connects with; it has to call require_member."""
    tls = ssl.create_default_context(cafile=CA)
    tls.check_hostname = False
    tls.load_cert_chain(LEAF)
    return tls
