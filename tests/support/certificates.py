"""A small certificate authority made with the openssl command."""

import subprocess
from pathlib import Path


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_authority(folder: Path) -> None:
    """``ca.crt`` and ``ca.key`` in ``folder``; Python 3.13 and newer insist on the key usage."""
    folder.mkdir(parents=True, exist_ok=True)
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign", "-subj", "/CN=Hinomi test authority"),
        *("-keyout", folder / "ca.key", "-out", folder / "ca.crt"),
    )


def make_certificate(folder: Path, file: str, common_name: str) -> tuple[Path, Path]:
    """``{file}.crt`` and ``{file}.key`` for ``common_name``, valid for 127.0.0.1 and localhost too."""
    key, request, certificate = (folder / f"{file}.{ending}" for ending in ("key", "csr", "crt"))
    subject = "/CN=" + common_name.replace("/", "\\/")
    _openssl(
        *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-subj", subject, "-keyout", key, "-out", request),
    )
    extensions = folder / f"{file}.ext"
    extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nauthorityKeyIdentifier=keyid\n")
    _openssl(
        *("x509", "-req", "-in", request, "-CA", folder / "ca.crt", "-CAkey", folder / "ca.key"),
        *("-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", certificate),
    )
    return certificate, key
