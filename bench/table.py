"""The table people read: each figure with what it is compared to, the ratio, and whether the goal is met; `run` prints it."""

import json
from dataclasses import dataclass
from pathlib import Path

from bench.measure import CONNECTIONS, HELD, IDLE, Samples


@dataclass(frozen=True)
class Row:
    """One line: what, ours, the other, their ratio as a text, the goal, and whether it is met."""

    figure: str
    ours: str
    other: str
    ratio: str
    goal: str
    met: bool


def rows(s: Samples) -> list[Row]:
    added = s["ours p50"] - s["direct p50"]
    table = [
        Row("added p50, one connection", f"{added:.0f} us", f"{s['floor p50']:.0f} us (raw WebSocket)",
            f"{added / s['floor p50']:.2f}", "<= 1.6", added <= 1.6 * s["floor p50"]),
        ratio("requests/s, 64 connections", s["ours rps"], s["kubectl rps"], "kubectl", 4, "/s"),
        ratio("new connections/s", s["ours conn"], s["kubectl conn"], "kubectl", 8, "/s"),
        Row(f"new connections failed, of {s.total('ours conn count'):.0f}", f"{s.total('ours conn failed'):.0f}",
            f"{s.total('kubectl conn failed'):.0f} of {s.total('kubectl conn count'):.0f} (kubectl)", "", "0",
            s.total("ours conn failed") == 0 and s.total("ours conn count") >= CONNECTIONS),
    ]  # fmt: skip
    for direction, words in (("from_pod", "from the pod"), ("to_pod", "to the pod")):
        table += [
            ratio(f"bulk {words}, {n} stream{'s' * (n > 1)}", s[f"ours {direction} {n}"], s[f"floor {direction} {n}"],
                  f"{n} raw WebSocket{'s' * (n > 1)}", 0.8, " MB/s")
            for n in (1, 8)
        ]  # fmt: skip
    table.append(Row("bulk contents", f"{s.total('corrupt'):.0f} wrong", "", "", "0", s.total("corrupt") == 0))
    table += [
        at_most(f"others' p50 {words}", s[f"ours beside {way}"], s["ours alone"], name, 1.3, " us")
        for way, words, name in (
            ("slow", "beside a slow reader", "alone"),
            ("down", "beside a bulk to the pod", beside_raw(s, "down")),
            ("up", "beside a bulk from the pod", beside_raw(s, "up")),
        )
    ]  # fmt: skip
    table += [
        limit(f"{IDLE:,} idle connections, KB each at the {end}", s[f"{end} KB {IDLE}"], 4, " KB")
        for end in ("client", "agent")
    ]
    held = max(s.values.get("held", [0]))
    table.append(Row("idle connections held", f"{held:.0f}", "", "", f"{HELD:,}", held >= HELD))
    for end, most in (("agent", 30), ("client", 70)):
        table += [
            limit(
                f"{end} memory (RSS), most in the soak",
                s[f"{end} MB"],
                most,
                " MB",
                f"{s[f'{end} MB held']:.1f} MB in another session that had held {held:,.0f}",
            ),
            limit(f"{end} growth in the soak", s[f"{end} growth"], 2, " MB"),
        ]
    over = s["ready s"] - s["rollout s"]
    table.append(
        Row(
            "command to ready",
            f"{s['ready s']:.1f} s",
            f"{s['rollout s']:.1f} s (plain rollout)",
            f"+{over:.1f} s",
            "+1 s",
            over <= 1,
        )
    )
    return table


def beside_raw(s: Samples, way: str) -> str:
    """What the same does to a raw WebSocket beside another: the share of the machine, without our tunnel."""
    return f"alone; raw WebSockets {s['floor p50']:,.0f} -> {s[f'floor beside {way}']:,.0f} us"


def ratio(figure: str, ours: float, other: float, name: str, least: float, unit: str) -> Row:
    return Row(
        figure,
        f"{ours:,.0f}{unit}",
        f"{other:,.0f}{unit} ({name})",
        f"{ours / other:.2f}",
        f">= {least:g}",
        ours >= least * other,
    )


def at_most(figure: str, ours: float, other: float, name: str, most: float, unit: str) -> Row:
    return Row(
        figure,
        f"{ours:,.0f}{unit}",
        f"{other:,.0f}{unit} ({name})",
        f"{ours / other:.2f}",
        f"<= {most:g}",
        ours <= most * other,
    )


def limit(figure: str, value: float, most: float, unit: str, other: str = "") -> Row:
    return Row(figure, f"{value:.1f}{unit}", other, "", f"<= {most:g}{unit}", value <= most)


def markdown(table: list[Row], about: str, title: str) -> str:
    lines = [
        f"# {title}",
        "",
        about,
        "",
        "| figure | ours | beside | ratio | goal | met |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.figure} | {r.ours} | {r.other} | {r.ratio} | {r.goal} | {'yes' if r.met else '**no**'} |" for r in table
    ]
    return "\n".join(lines) + "\n"


def publish(table: list[Row], about: str, samples: Samples, output: Path, title: str = "Speed") -> int:
    """Print the table, write it and what it is made of; 0 where every goal is met."""
    text = markdown(table, about, title)
    print(text)
    output.write_text(text)
    output.with_suffix(".json").write_text(json.dumps(samples.values, indent=1) + "\n")
    return 0 if all(row.met for row in table) else 1
