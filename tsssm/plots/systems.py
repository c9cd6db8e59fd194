"""Pictures of linear layers as systems: where their poles lie, what an impulse leaves, and what passes at each frequency."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes

from tsssm.diagnostics import LinearSystem, frequency_response, impulse_response, memory_length, time_scales
from tsssm.dynamics import Dense, Diagonal
from tsssm.plots.axes import COLORS, GREY, legend_above, new_axes, tidy

# layers with a colour of their own in a plot of poles
MOST = 6


def plot_poles(fitted: Any, time_scale: float | None = None, ax: Axes | None = None) -> Axes:
    """Draw the modes of a model's layers: how long each remembers, and how fast it swings.

    The half plane of stable poles on axes that can be read, -1/T and 2 pi/P as decay T and period P. Modes that do not
    swing, P infinite, stand on the line at the top. Above the dashed line a mode is gone before it comes round.

    Parameters
    ----------
    fitted : estimator or module
        What `diagnostics.time_scales` takes.
    time_scale : float, optional
        Length of a time scale in the user's unit, for a module.
    ax : Axes, optional
        By default that of a new figure.

    Examples
    --------
    >>> from tsssm.layers import S5
    >>> from tsssm.plots import plot_poles
    >>> plot_poles(S5(3, d_state=8, blocks=1), time_scale=60.0).get_ylabel()
    'period'
    """
    table = time_scales(fitted, time_scale)
    ax = plt.subplots(figsize=(5, 4), layout="constrained")[1] if ax is None else ax
    unit = f" [{table.attrs['unit']}]" if table.attrs["unit"] else ""
    swings = np.isfinite(table["period"])
    still = 4 * max(table["period"][swings].max(), table["decay"].max()) if swings.any() else 1.0
    groups = list(table.groupby("layer", sort=False))
    for i, (name, rows) in enumerate(groups):
        color = COLORS[i] if i < MOST else GREY
        label = (name or rows["kind"].iloc[0]) if len(groups) <= MOST else None
        period = rows["period"].replace(np.inf, still)
        ax.plot(rows["decay"], period, "o", color=color, ms=4, alpha=0.6, mew=0, label=label)
    ends = np.array([table["decay"].min(), table["decay"].max()])
    ax.set(xscale="log", yscale="log", xlabel=f"decay{unit}", ylabel=f"period{unit}")
    if swings.any():
        ax.plot(ends, ends, color=GREY, ls="--", lw=1, zorder=0)
    else:
        ax.yaxis.set_visible(False)
    if not swings.all():
        ax.axhline(still, color=GREY, lw=0.8, zorder=0)
        ax.text(1, still, "no swing ", ha="right", va="bottom", transform=ax.get_yaxis_transform(), fontsize="small")
    if len(groups) <= MOST:
        ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return tidy(ax)


def plot_impulse_response(
    system: LinearSystem, output: int = 0, input: int = 0, unit: str = "", ax: Axes | None = None
) -> Axes:
    """Draw what an impulse of one feature leaves in another over time, and when 99 % of its energy has passed.

    Parameters
    ----------
    system : LinearSystem
        From `diagnostics.linear_system`, stable.
    output, input : int, default 0
        Features.
    unit : str, default ""
        Name of the unit of time of the system.
    ax : Axes, optional
        By default that of a new figure.

    Examples
    --------
    >>> from tsssm.diagnostics import linear_system
    >>> from tsssm.layers import S5
    >>> plot_impulse_response(linear_system(S5(3, d_state=8, blocks=1)), unit="hours").get_xlabel()
    'time [hours]'
    """
    ax = new_axes(ax)
    memory = float(memory_length(_one(system, output, input))[0])
    times = np.linspace(0, 1.5 * memory if memory else 1.0, 1200)
    answer = impulse_response(_one(system, output, input), torch.from_numpy(times))[:, 0, 0]
    ax.axhline(0, color=GREY, lw=0.8, zorder=0)
    ax.plot(times, answer, color=COLORS[0], lw=1.2, label=f"feature {input} to {output}")
    ax.axvspan(0, memory, color=COLORS[0], alpha=0.08, lw=0, label="99 % of the energy")
    ax.set(xlabel=f"time [{unit}]" if unit else "time", ylabel=f"response [1/{unit}]" if unit else "response")
    ax.margins(x=0)
    legend_above(ax)
    return tidy(ax)


def plot_bode(
    system: LinearSystem, output: int = 0, input: int = 0, unit: str = "", axes: Any = None, gap: float | None = None
) -> np.ndarray:
    """Draw gain and phase of one feature's answer to waves in another.

    Parameters
    ----------
    system : LinearSystem
        From `diagnostics.linear_system`.
    output, input : int, default 0
        Features.
    unit : str, default ""
        Name of the unit of time of the system.
    axes : sequence of two Axes, optional
        By default those of a new figure, one above the other.
    gap : float, optional
        Gap of the rows: frequencies above 1/(2 gap) are shaded, for rows so far apart cannot show them.

    Examples
    --------
    >>> from tsssm.diagnostics import linear_system
    >>> from tsssm.layers import S5
    >>> plot_bode(linear_system(S5(3, d_state=8, blocks=1)), unit="hours")[1].get_xlabel()
    'frequency [1/hours]'
    """
    if axes is None:
        axes = plt.subplots(2, 1, figsize=(8, 4.5), layout="constrained", sharex=True)[1]
    one = _one(system, output, input)
    frequencies = _band(one)
    answer = frequency_response(one, torch.from_numpy(frequencies))[:, 0, 0].numpy()
    tiny = np.finfo(float).tiny
    axes[0].plot(frequencies, 20 * np.log10(np.maximum(np.abs(answer), tiny)), color=COLORS[0], lw=1.2)
    axes[1].plot(frequencies, np.degrees(np.unwrap(np.angle(answer))), color=COLORS[0], lw=1.2)
    axes[0].set(xscale="log", ylabel="gain [dB]")
    axes[0].set_title(f"feature {input} to {output}", loc="left", fontsize="medium")
    axes[1].set(xscale="log", ylabel="phase [degrees]", xlabel=f"frequency [1/{unit}]" if unit else "frequency")
    for ax in axes:
        ax.set_xlim(frequencies[0], frequencies[-1])
        if gap is not None and 0.5 / gap < frequencies[-1]:
            ax.axvspan(0.5 / gap, frequencies[-1], color=GREY, alpha=0.15, lw=0)
        tidy(ax)
    return np.asarray(axes)


def _one(system: LinearSystem, output: int, input: int) -> LinearSystem:
    """The part of a system between one input and one output."""
    D = system.D[output : output + 1] if output == input else torch.zeros_like(system.D[:1])
    if len(system.B) == 1:
        return LinearSystem(system.A, system.B[..., input : input + 1], system.C[:, output : output + 1], D)
    k = slice(output, output + 1)
    A = Diagonal(system.A.eigenvalues[k]) if isinstance(system.A, Diagonal) else Dense(system.A.dense()[k])
    return LinearSystem(A, system.B[k], system.C[k] if output == input else 0 * system.C[k], D)


def _band(system: LinearSystem) -> np.ndarray:
    """Frequencies from a tenth of the slowest mode's to ten times the fastest's."""
    rates = torch.linalg.eigvals(system.A.dense()).abs() / (2 * np.pi)
    return np.geomspace(float(rates.min()) / 10, float(rates.max()) * 10, 600)
