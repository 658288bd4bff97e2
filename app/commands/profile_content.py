"""What options of `profile create` and `profile edit` say of a profile: its document, or a patch of it."""

from typing import TYPE_CHECKING, Any, cast

from app.domain.profile import BarInterval, Channel, DeliveryMode, ProfileStatus
from app.terminal import fail

if TYPE_CHECKING:
    from instrument_registry_client.models import Profile, ProfilePatch


def traits_of(
    description: str | None,
    name: str | None,
    mode: DeliveryMode | None,
    interval_ms: int | None,
    bar_interval: BarInterval | None,
    book_depth: int | None,
    state: ProfileStatus | None,
) -> dict[str, Any]:
    """What was given of a profile's traits, as a document or a patch has it."""
    delivery = {
        "mode": mode,
        "interval_ms": interval_ms,
        "bar_interval": bar_interval,
        "book_depth": book_depth,
    }
    given = {"name": name, "description": description, "status": state}
    traits: dict[str, Any] = {trait: value for trait, value in given.items() if value is not None}
    if options := {option: value for option, value in delivery.items() if value is not None}:
        traits["delivery"] = options
    return traits


def query_of(text: str | None, filters: dict[str, list[str]]) -> dict[str, Any]:
    """What was given of a saved search."""
    return filters if text is None else {"q": text, **filters}


def patch_of(
    found: "Profile",
    traits: dict[str, Any],
    add: list[str],
    remove: list[str],
    dynamic: dict[str, Any],
) -> "ProfilePatch":
    patch = dict(traits)
    if pointless := _pointless(found, traits):
        patch["delivery"] = {**traits.get("delivery", {}), **dict.fromkeys(pointless)}
    listed = found["selection"].get("instruments")
    if dynamic:
        if listed is not None:
            fail("this profile selects a list, and has no query to change; give --add and --remove")
        patch["selection"] = {"query": dynamic}
    if add or remove:
        if listed is None:
            fail("this profile selects by a query, and has no instruments to add to or remove")
        members = dict.fromkeys((*listed, *add))
        for one in remove:
            members.pop(one, None)
        patch["selection"] = {"instruments": list(members)}
    return cast("ProfilePatch", patch)


def _pointless(found: "Profile", traits: dict[str, Any]) -> list[str]:
    """Options of delivery that the profile has and that mean nothing after the change; none that is given."""
    given = traits.get("delivery", {})
    channels = traits.get("channels", found["channels"])
    means_something = {
        "interval_ms": given.get("mode", found["delivery"].get("mode")) != DeliveryMode.STREAMING,
        "bar_interval": Channel.BARS in channels,
        "book_depth": Channel.BOOK in channels,
    }
    return [
        option
        for option, means in means_something.items()
        if not means and option in found["delivery"] and option not in given
    ]
