"""How tsssm words its errors: what must hold, what came and where, what to do."""

from __future__ import annotations


def explain(must: str, came: str, do: str) -> str:
    """Join the three parts of an error message.

    Parameters
    ----------
    must : str
        What must hold, without a full stop.
    came : str
        What came instead, with its value and its place.
    do : str
        What the reader can do about it.

    Returns
    -------
    str
        One message of two sentences.

    Examples
    --------
    >>> from tsssm.errors import explain
    >>> explain("`times` must increase", "series 'a' goes from 3.2 to 3.1 at row 41", "Sort the table by time")
    "`times` must increase; series 'a' goes from 3.2 to 3.1 at row 41. Sort the table by time."
    """
    return f"{must.rstrip('.')}; {came.rstrip('.')}. {do.rstrip('.')}."


class NonFiniteLossError(RuntimeError):
    """Training met a loss that is NaN or infinite."""
