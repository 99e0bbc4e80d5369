"""The report of a load as a page to read and to sign: one file, nothing from elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}th,td{padding:.25rem .5rem;text-align:left;border-bottom:1px solid #d8dee4}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}code{font-size:.85em;word-break:break-all}
.good{color:#116329}.bad{color:#a40e26;font-weight:600}svg{display:block;width:100%;height:auto}
.key span{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 1em}
@media print{body{margin:0;max-width:none}}
"""
_COLOURS: Final = {"loaded": "#2f6f4f", "duplicate": "#8fa3b8", "dead": "#b3403a"}
_WIDTH: Final = 640
_HEIGHT: Final = 180


def page(report: Mapping[str, Any], verification: Mapping[str, Any] | None = None) -> str:
    """Return the page of a report, with what a verification found if there was one."""
    balanced = all(row["balanced"] for row in report["types"])
    parts = [
        f"<h1>Load {_text(report['load'])}{' (dry run)' if report['dry'] else ''}</h1>",
        _summary(report, balanced),
        "<h2>What the sources have and what became of it</h2>",
        _bars(report["types"]),
        _types(report["types"]),
        *_course(report.get("course", ())),
        *_causes(report["causes"]),
        "<h2>Roots</h2><p>Merkle root (RFC 6962) over the SHA-256 of each record, in the order of the source"
        + (f"; anchored with <code>{_text(report['task'])}</code>" if report.get("task") else "")
        + ".</p>",
        _table(("source", "root"), ((_text(name), f"<code>{root}</code>") for name, root in report["roots"].items())),
        *_windows(report.get("windows", {})),
        *_contradictions(report["contradictions"]),
        *_unread(report["unread"]),
        *(_verified(verification) if verification is not None else ()),
    ]
    title = f"Load {_text(report['load'])}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _summary(report: Mapping[str, Any], balanced: bool) -> str:
    word = '<span class="good">yes</span>' if balanced else '<span class="bad">no</span>'
    rows = [
        ("records in the sources", f"{report['records']:,}"),
        ("loaded", f"{report['loaded']:,}"),
        ("duplicate (had nothing new to tell)", f"{report['duplicate']:,}"),
        ("dead (see the error file)", f"{report['dead']:,}"),
        ("versions written, Provenances included", f"{report['versions']:,}"),
        ("source = loaded + duplicate + dead, for each type", word),
        ("plan", f"<code>{_text(report['plan'])}</code>"),
    ]
    if report.get("begun") and report.get("at"):
        rows.append(("begun, ended", f"{_text(report['begun'])}, {_text(report['at'])}"))
    return _table((), rows)


def _types(rows: Sequence[Mapping[str, Any]]) -> str:
    names = ("records", "loaded", "duplicate", "dead")
    head = "".join(f'<th class="n">{name}</th>' for name in names)
    body = "".join(
        f"<tr><td>{_text(row['source'])}</td><td>{_text(row['type'])}</td>"
        + "".join(f'<td class="n">{row[name]:,}</td>' for name in names)
        + f'<td class="{"good" if row["balanced"] else "bad"}">{"adds up" if row["balanced"] else "does not"}</td></tr>'
        for row in rows
    )
    return f"<table><tr><th>source</th><th>type</th>{head}<th></th></tr>{body}</table>"


def _bars(rows: Sequence[Mapping[str, Any]]) -> str:
    most = max((row["records"] for row in rows), default=0)
    if not most:
        return ""
    shown = sorted(rows, key=lambda row: -row["records"])[:20]
    lines = []
    for place, row in enumerate(shown):
        y, x = place * 20, 180.0
        lines.append(f'<text x="172" y="{y + 14}" text-anchor="end" font-size="12">{_text(row["type"])}</text>')
        for name, colour in _COLOURS.items():
            width = (_WIDTH - 190) * row[name] / most
            if width:
                lines.append(f'<rect x="{x:.1f}" y="{y + 3}" width="{width:.1f}" height="14" fill="{colour}"/>')
                x += width
    key = "".join(f'<span style="background:{colour}"></span>{name}' for name, colour in _COLOURS.items())
    view = f'viewBox="0 0 {_WIDTH} {20 * len(shown)}"'
    return f'<p class="key">{key}</p><svg {view} role="img" aria-label="records by type">{"".join(lines)}</svg>'


def _course(points: Sequence[Sequence[float]]) -> Iterable[str]:
    if len(points) < 2 or not points[-1][0] or not points[-1][1]:
        return ()
    (seconds, records) = points[-1]
    line = " ".join(
        f"{50 + (_WIDTH - 60) * at / seconds:.1f},{_HEIGHT - 20 - (_HEIGHT - 30) * count / records:.1f}"
        for at, count in points
    )
    return (
        "<h2>Course</h2>",
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="records over time">'
        f'<line x1="50" y1="{_HEIGHT - 20}" x2="{_WIDTH - 10}" y2="{_HEIGHT - 20}" stroke="#8fa3b8"/>'
        f'<polyline points="{line}" fill="none" stroke="#2f6f4f" stroke-width="2"/>'
        f'<text x="46" y="14" text-anchor="end" font-size="11">{records:,.0f}</text>'
        f'<text x="{_WIDTH - 10}" y="{_HEIGHT - 5}" text-anchor="end" font-size="11">{seconds:,.0f} s</text></svg>',
        f"<p>{records / seconds:,.0f} records a second from the first chunk to the last.</p>",
    )


def _causes(causes: Mapping[str, int]) -> Iterable[str]:
    if not causes:
        return ()
    rows = ((_text(cause), f"{count:,}") for cause, count in sorted(causes.items(), key=lambda it: -it[1]))
    return ("<h2>Dead records by cause</h2>", _table(("cause", "records"), rows))


def _windows(windows: Mapping[str, Any]) -> Iterable[str]:
    if not windows:
        return ()
    rows = (
        (
            _text(name),
            _text(told["begun"]),
            _text(told["ended"]),
            str(len(told["passes"])),
            _text(told["missing"] or "none"),
        )
        for name, told in windows.items()
    )
    return ("<h2>When servers were copied</h2>", _table(("source", "from", "to", "passes", "not shown"), rows))


def _contradictions(told: Mapping[str, Any]) -> Iterable[str]:
    if not told["count"]:
        return ()
    rows = ((_text(source), f"<code>{_text(place)}</code>", str(ways)) for source, place, ways in told["first"])
    return (
        f"<h2>{told['count']:,} contradictions inside the sources</h2>"
        "<p>A source tells these in several ways as one and the same version. All are kept as versions, in the order of"
        " the source; the last one is current.</p>",
        _table(("source", "resource", "ways"), rows),
    )


def _unread(documents: Sequence[Sequence[str]]) -> Iterable[str]:
    if not documents:
        return ()
    rows = ((_text(source), _text(label), _text(reason)) for source, label, reason in documents)
    return (f"<h2>{len(documents)} files that were not read</h2>", _table(("source", "file", "why"), rows))


def _verified(told: Mapping[str, Any]) -> Iterable[str]:
    good = told["verified"]
    word = '<span class="good">verified</span>' if good else '<span class="bad">not verified</span>'
    samples = told.get("samples", {})
    rows = [(_text(name), str(number)) for name, number in samples.items()]
    rows += [("seed of the choice", str(told["seed"])), ("place of the Task in the log", str(told.get("leaf")))]
    found = "".join(f"<li>{_text(finding)}</li>" for finding in told["findings"])
    return (
        f"<h2>Verification: {word}</h2>",
        _table((), rows),
        f"<p>{told['finding_count']:,} findings</p><ol>{found}</ol>" if found else "",
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = f"<tr>{''.join(f'<th>{name}</th>' for name in head)}</tr>" if head else ""
    return (
        f"<table>{top}{''.join('<tr>' + ''.join(f'<td>{cell}</td>' for cell in row) + '</tr>' for row in rows)}</table>"
    )


def _text(value: object) -> str:
    return escape(str(value))
