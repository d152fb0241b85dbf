"""A study in the summary of a job on GitHub, which shows no file of the job as a picture: curves are means by Mermaid."""

from __future__ import annotations

import numpy as np

from parity.report.content import Content, TaskContent
from parity.report.curves import TaskCurves
from parity.report.templating import markdown_environment

# An xychart spreads the values of a line evenly over its axis.
POINTS = 25


def job_summary(content: Content) -> str:
    """The text: the answers of the report's strip, the curves, what is wrong and what is missing."""
    template = markdown_environment().get_template("job_summary.md")
    charts = {task.id: chart(task) for task in content.tasks}
    return template.render(content=content, summary=content.summary, charts=charts)


def chart(task: TaskContent) -> str | None:
    """The mean curves of the deterministic policies as a Mermaid ``xychart-beta``; None where there is none to draw."""
    lines = mean_lines(task.curves)
    limits = task.curves.value_range()
    if not lines or limits is None:
        return None
    last, means = min(end for end, _ in lines.values()), [values for _, values in lines.values()]
    return "\n".join(
        [
            "xychart-beta",
            f'    title "{", ".join(lines)}"',
            f'    x-axis "environment steps" 0 --> {last:.0f}',
            f'    y-axis "return per episode" {limits[0]:.4g} --> {limits[1]:.4g}',
            *(f"    line [{', '.join(f'{value:.4g}' for value in values)}]" for values in means),
        ]
    )


def mean_lines(curves: TaskCurves) -> dict[str, tuple[float, list[float]]]:
    """Framework -> last step, and the mean over complete seeds at ``POINTS`` steps from 0 to the last that all reached."""
    means = {name: mean for name in curves.frameworks if (mean := curves.mean(name, "deterministic")) is not None}
    means = {name: mean for name, mean in means.items() if np.isfinite(mean.mean).all()}
    last = min((float(mean.steps[-1]) for mean in means.values()), default=0.0)
    at = np.linspace(0, last, POINTS)
    return {name: (last, np.interp(at, mean.steps, mean.mean).tolist()) for name, mean in means.items()}
