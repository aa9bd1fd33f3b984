"""Plans on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from hwnas.report import units

KIND_NAMES = {"edge_only": "edge only", "cloud_only": "cloud only", "split": "split", "cascade": "cascade"}


def plans_table(document: Mapping[str, Any]) -> Table:
    """The plans that no other beats, and the winner, by rising median latency."""
    link = document["link"]
    table = Table(
        title=Text(f"Plans of {document['run']} over {link['name']}"),
        caption=Text(_caption(document)),
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("plan", no_wrap=True)
    table.add_column("networks", no_wrap=True)
    energy = any(plan["energy_mj"] is not None for plan in document["plans"])
    clients = any(plan["clients"] is not None for plan in document["plans"])
    known = {"energy": energy, "clients": clients}
    heads = ["accuracy", "p50", "p95", "p99", "sent", "asked", *(name for name, shown in known.items() if shown)]
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for plan in shown_plans(document):
        chosen = plan["name"] == document["winner"]
        table.add_row(
            *map(Text, _row(document, plan, energy=energy, clients=clients)), style="bold" if chosen else None
        )
    return table


def shown_plans(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the plans of the front and the winner, by rising median latency."""
    shown = [plan for plan in document["plans"] if plan["on_front"] or plan["name"] == document["winner"]]
    return sorted(shown, key=lambda plan: plan["latency_ms"]["p50"])


def plan_title(plan: Mapping[str, Any]) -> str:
    """Return the plan without its networks: `split after 3, int8`."""
    title = KIND_NAMES[plan["kind"]]
    title += "" if plan["cut"] is None else f" after {plan['cut']}"
    title += "" if plan["codec"] is None else f", {plan['codec']}"
    return title + ("" if plan["threshold"] is None else f", {plan['rule']} ≥ {plan['threshold']:.3f}")


def networks_of(plan: Mapping[str, Any]) -> str:
    """Return the keys of the plan's networks: one, or that of the edge and that of the cloud."""
    return " + ".join(dict.fromkeys(key for key in (plan["edge"], plan["cloud"]) if key is not None))


def winner_sentence(document: Mapping[str, Any]) -> str:
    """Return which plan to take, in words; that one machine alone is best is a result like others."""
    plan = next((plan for plan in document["plans"] if plan["name"] == document["winner"]), None)
    if plan is None:
        return "No plan is left."
    alone = {
        "edge_only": "Nothing is gained by the cloud: the edge alone is best.",
        "cloud_only": "Nothing is gained by computing on the edge: the cloud alone is best.",
    }
    lead = alone.get(plan["kind"], f"The best plan is a {KIND_NAMES[plan['kind']]}.")
    latency = plan["latency_ms"]
    ends = f"{units.milliseconds(latency['low'])} to {units.milliseconds(latency['high'])}"
    return (
        f"{lead} {plan_title(plan).capitalize()} of {networks_of(plan)}: accuracy "
        f"{quality_text(document, plan['accuracy'])}, median "
        f"{units.milliseconds(latency['p50'])} ({ends}), 99 of 100 within {units.milliseconds(latency['p99'])}. "
        f"The rule: {document['rule']}."
    )


def link_sentence(document: Mapping[str, Any]) -> str:
    """Return the link by its medians, with their origins."""
    link = document["link"]
    words = {"up_mbps": "up", "down_mbps": "down", "rtt_ms": "round trip"}
    parts = [
        f"{words[key]} {link[key]['p50']:.4g} {'ms' if key == 'rtt_ms' else 'Mbps'} ({link[key]['origin']})"
        for key in words
    ]
    return f"Medians of the link, connections {link['connection']}: {'; '.join(parts)}."


def break_even_sentence(document: Mapping[str, Any]) -> str:
    """Return where edge and cloud are equally fast, in words; empty where there are not both."""
    even = document["break_even"]
    if even is None:
        return ""
    named = {plan["name"]: f"{plan_title(plan)} of {networks_of(plan)}" for plan in document["plans"]}
    cloud, edge = (named.get(even[side], even[side]) for side in ("cloud", "edge"))
    rate, rtt = even["rate_mbps"], even["rtt_ms"]
    if rate is None and rtt is None:
        return f"No rate up and no round trip lets {cloud} answer before {edge}."
    fast = "no rate is high enough" if rate is None else f"above {rate:.4g} Mbps up at the median round trip"
    near = "no round trip is short enough" if rtt is None else f"below {rtt:.4g} ms at the median rate"
    return f"{cloud[0].upper()}{cloud[1:]} answers before {edge}: {fast}; {near}."


def asked_text(plan: Mapping[str, Any]) -> str:
    """Return the share of requests that the cloud answers."""
    return f"{100 * plan['escalated']:.1f} %"


def quality_text(document: Mapping[str, Any], value: float) -> str:
    """Return an accuracy, or another quality, with its unit."""
    unit = document["quality"]["unit"]
    return units.percent(value) if unit == "fraction" else f"{units.digits(value)} {unit}".rstrip()


def _row(document: Mapping[str, Any], plan: Mapping[str, Any], *, energy: bool, clients: bool) -> list[str]:
    latency, error = plan["latency_ms"], plan["accuracy_error"]
    accuracy = quality_text(document, plan["accuracy"])
    if error is not None:
        accuracy += f" ± {100 * error:.2f}" if document["quality"]["unit"] == "fraction" else f" ± {error:.3g}"
    joules = [units.GAP if plan["energy_mj"] is None else f"{units.digits(plan['energy_mj'])} mJ"] if energy else []
    return [
        plan_title(plan),
        networks_of(plan),
        accuracy,
        *(units.milliseconds(latency[name]) for name in ("p50", "p95", "p99")),
        units.size(plan["bytes"]) if plan["bytes"] else units.GAP,
        asked_text(plan),
        *joules,
        *([units.GAP if plan["clients"] is None else f"{plan['clients']:,}"] if clients else []),
    ]


def _caption(document: Mapping[str, Any]) -> str:
    shown = len(shown_plans(document))
    return (
        f"{shown} of {document['enumerated']:,} plans: those that no other beats in all respects; latencies predicted; "
        "sent: mean bytes of a request's body; asked: share that the cloud answers"
    )
