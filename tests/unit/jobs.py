"""Any valid job and any valid settings, for tests that must hold for all of them."""

from hypothesis import strategies as st

from broker.models.groups import GroupSettings, Retentions
from broker.models.jobs import NewJob

LINE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=255)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
IMAGES = LINE.filter(bool)


def bounded(low, high):
    """A whole number, its bounds often."""
    return st.none() | st.sampled_from((low, high)) | st.integers(low, high)


NEW_JOBS = st.builds(
    NewJob,
    image=IMAGES,
    payload=st.none() | TEXT,
    delay=bounded(0, 31_536_000),
    timeout=bounded(1, 604_800),
    priority=bounded(0, 2),
    max_retries=bounded(0, 25),
    retries_delay=bounded(0, 31_536_000),
)
KEPT = st.integers(0, 315_360_000)
SETTINGS = st.builds(
    GroupSettings,
    image=st.none() | LINE,
    env_vars=st.none()
    | st.dictionaries(
        st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,127}", fullmatch=True),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
        max_size=5,
    ),
    max_concurrency=bounded(1, 1_000_000),
    rate_limit=bounded(1, 1_000_000),
    paused=st.none() | st.booleans(),
    delivery_limit=bounded(1, 1000),
    require_lease=st.none() | st.booleans(),
    retention=st.none() | st.builds(Retentions, succeeded=KEPT, failed=KEPT, cancelled=KEPT),
)
