"""Changing a profile: merge patches, and what differs between a profile before and after.

A selection may list ten thousand instruments; one that stays as it is is not looked at.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.instrument import public_id
from app.domain.profile import (
    Profile,
    ProfileLimits,
    parse_profile,
    parse_traits,
    profile_document,
    selection_document,
    traits_document,
)


def patch_profile(profile: Profile, patch: object, limits: ProfileLimits) -> Profile:
    """The profile after a merge patch (RFC 7396). Raises InvalidInput naming every bad field."""
    if isinstance(patch, Mapping) and "selection" not in patch:
        return parse_traits(merge_patch(traits_document(profile), patch), limits, profile)
    return parse_profile(merge_patch(profile_document(profile), patch), limits)


def named_instruments(patch: object) -> Sequence[object]:
    """What a merge patch lists as members, before it is looked at any closer."""
    selection = patch.get("selection") if isinstance(patch, Mapping) else None
    instruments = selection.get("instruments") if isinstance(selection, Mapping) else None
    return instruments if isinstance(instruments, list) else ()


def merge_patch(target: object, patch: object) -> object:
    """RFC 7396, section 2: objects are merged, null removes, anything else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def describe_changes(before: Profile, after: Profile) -> dict[str, Any]:
    """What differs between two profiles, by field: `from` and `to`.

    Listed members are told by what was `added` and `removed`, and whether others were `reordered`.
    """
    old, new = traits_document(before), traits_document(after)
    changes: dict[str, Any] = {
        name: {"from": old[name], "to": new[name]} for name in new if old[name] != new[name]
    }
    if (before.instruments, before.query) == (after.instruments, after.query):
        return changes
    if before.instruments is not None and after.instruments is not None:
        changes["instruments"] = _describe_members(before.instruments, after.instruments)
    else:
        changes["selection"] = {"from": selection_document(before), "to": selection_document(after)}
    return changes


def _describe_members(old: Sequence[int], new: Sequence[int]) -> dict[str, Any]:
    before, after = set(old), set(new)
    kept_before = [member for member in old if member in after]
    kept_after = [member for member in new if member in before]
    described: dict[str, Any] = {
        "added": [public_id(member) for member in new if member not in before],
        "removed": [public_id(member) for member in old if member not in after],
    }
    if kept_before != kept_after:
        described["reordered"] = True
    return described
