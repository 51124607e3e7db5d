"""Makes a line of `titan doctor`."""

from broker.models.doctor import DoctorLine


def line(about: str, found: str, advice: str = "") -> DoctorLine:
    """A line that is wrong if it has advice, else ok."""
    return DoctorLine(about=about, state="wrong" if advice else "ok", found=found, advice=advice)
