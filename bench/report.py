"""Markdown tables of results: medians over the rounds, and ratios to the limits of the same round."""
from statistics import median

LIMITS = {"C": "C limit", "Go": "Go limit", "Go, protected": "Go limit, protected"}


class Figure:
    """One table: what is shown of a set's results."""

    def __init__(self, title, set_name, value, unit, more=()):
        self.title, self.set_name, self.value, self.unit, self.more = title, set_name, value, unit, more


def field(name, scale=1.0):
    return lambda result: None if result.get(name) is None else result[name] * scale


def restart_p50(result):
    return median(result["restart_ms"]) if result.get("restart_ms") else None


def restart_p99(result):
    latencies = sorted(result.get("restart_ms", []))
    return latencies[min(len(latencies) - 1, int(len(latencies) * 0.99))] if latencies else None


def per_child(name):
    return lambda result: None if result.get(name) is None else result[name] / result["n"]


SIZES = [("processes", field("processes")), ("threads", field("threads")), ("descriptors a child", per_child("fds"))]

FIGURES = [
    Figure("Restart: SIGKILL of one of 100 children → first instruction of its successor, p50", "restart", restart_p50, "ms",
           [("p99, ms", restart_p99), ("CPU µs a restart", field("restart_cpu_us"))]),
    Figure("Mass failure: 1,000 children killed at once → all replaced", "thousand", field("mass_ms"), "ms"),
    Figure("Boot of 1,000 children", "thousand", field("boot_ms"), "ms"),
    Figure("Stop of 1,000 children", "thousand", field("stop_ms"), "ms"),
    Figure("Memory of all supervisor processes at 1,000 children, PSS", "thousand", field("pss_kb", 1 / 1024), "MB", SIZES),
    Figure("Idle with 1,000 children: context switches a second", "thousand", field("idle_switches"), "/s", [("CPU %", field("idle_cpu_percent"))]),
    Figure("Crash loop of 10 children that exit at once: restarts a second", "crash", field("crash_restarts"), "/s",
           [("CPU %", field("crash_cpu_percent"))]),
    Figure("Boot of 10,000 children", "many", field("boot_ms"), "ms"),
    Figure("Stop of 10,000 children", "many", field("stop_ms"), "ms"),
    Figure("Memory at 10,000 children, PSS", "many", field("pss_kb", 1 / 1024), "MB", SIZES),
    Figure("Idle with 10,000 children: context switches a second", "many", field("idle_switches"), "/s", [("CPU %", field("idle_cpu_percent"))]),
]


def number(x):
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.1f}" if abs(x) >= 10 else f"{x:.2f}"


def spread(values, unit=""):
    """The median, and the range where there is one."""
    if not values:
        return "–"
    text = number(median(values)) + unit
    return text if len(values) == 1 else f"{text} [{number(min(values))}–{number(max(values))}]"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def figure(f, results, systems):
    good = [r for r in results if r["set"] == f.set_name and "error" not in r and f.value(r) is not None]
    if not good:
        return ""
    by_round = {(r["run"], r["round"], r["system"]): f.value(r) for r in good}
    limits = {label: name for label, name in LIMITS.items() if any(r["system"] == name for r in good)}

    def ratios(mine, limit):
        pairs = [(f.value(r), by_round.get((r["run"], r["round"], limit))) for r in mine]
        return [value / base for value, base in pairs if base]

    rows = []
    for name, system in systems.items():
        mine = [r for r in good if r["system"] == name]
        if not mine:
            continue
        row = [f"*{name}*" if system.limit else name, system.level, system.threads or "–", spread([f.value(r) for r in mine])]
        row += [number(median(ratios(mine, limit))) if ratios(mine, limit) else "–" for limit in limits.values()]
        row += [spread([v for v in map(value, mine) if v is not None]) for _, value in f.more]
        rows.append(row)
    head = ["system", "containment", "GOMAXPROCS", f.unit] + ["× " + label for label in limits] + [title for title, _ in f.more]
    return f"### {f.title}\n\n{table(head, rows)}"


def nested(results):
    """What ten further supervisors add, each with one of the ten children."""
    def median_of(name):
        values = [r["pss_kb"] for r in results if r["set"] == "nested" and r["system"] == name and "pss_kb" in r]
        return median(values) if values else None
    flat, deep = median_of("supervise"), median_of("supervise, 10 nodes")
    if flat is None or deep is None:
        return ""
    return f"### A further nested supervisor, PSS\n\n{number((deep - flat) / 1024 / 10)} MB ({number(flat / 1024)} MB without, {number(deep / 1024)} MB with ten of them)\n"


def tables(results, systems):
    parts = [figure(f, results, systems) for f in FIGURES] + [nested(results)]
    errors = [f"- {r['set']}, {r['system']}: {r['error']}" for r in results if "error" in r]
    lost = [f"- {r['set']}, {r['system']}: {k} = {r[k]}" for r in results for k in ("restart_lost", "mass_lost", "stop_left") if r.get(k)]
    if errors or lost:
        parts.append("### Not measured\n\n" + "\n".join(errors + lost) + "\n")
    return "\n".join(p for p in parts if p)
