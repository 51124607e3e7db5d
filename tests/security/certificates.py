"""Authorities and their certificates, made by openssl for one test run."""

import subprocess
from pathlib import Path

from tests.deploy.conftest import missing

_NEW = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


class Authority:
    """An authority: `pem` is its certificate. Certificates are for 127.0.0.1, and for callers."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self.pem, self._key = folder / f"{name}.pem", folder / f"{name}.key"
        _openssl(self._key, self.pem, name, "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign")

    def certificate(self, name: str) -> Path:
        """A new certificate; the file has its key too."""
        pem, key = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        signer = ("-CA", str(self.pem), "-CAkey", str(self._key))
        extensions = ("basicConstraints=critical,CA:FALSE", "subjectAltName=IP:127.0.0.1,DNS:localhost")
        _openssl(key, pem, name, *extensions, "extendedKeyUsage=serverAuth,clientAuth", signer=signer)
        both = self._folder / f"{name}.pem"
        both.write_text(pem.read_text() + key.read_text())
        return both


def _openssl(key: Path, pem: Path, name: str, *extensions: str, signer: tuple[str, ...] = ()) -> None:
    words = [word for extension in extensions for word in ("-addext", extension)]
    command = ["openssl", *_NEW, *signer, "-keyout", str(key), "-out", str(pem), "-subj", f"/CN={name}", *words]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    except FileNotFoundError:
        missing("openssl is missing: apt-get install openssl")
