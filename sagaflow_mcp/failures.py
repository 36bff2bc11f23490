"""Failures of a skill's code in the form in which Temporal can carry them."""

from __future__ import annotations

from temporalio.exceptions import ApplicationError


def carriable(error: BaseException) -> BaseException:
    """`error`, or one in its place with the same words where Temporal could not carry them.

    A text with a lone surrogate, such as a file name that is not UTF-8, has no form in Temporal's messages.
    """
    if _is_sound(error):
        return error
    if isinstance(error, ApplicationError):
        sound = ApplicationError(
            _sound(error.message),
            type=error.type,
            non_retryable=error.non_retryable,
            next_retry_delay=error.next_retry_delay,
        )
    else:
        sound = ApplicationError(_sound(str(error)), type=type(error).__name__)
    return sound.with_traceback(error.__traceback__)


def _is_sound(error: BaseException) -> bool:
    """Whether the texts of `error` and of all that it came from are Unicode."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        if _sound(str(each)) != str(each):
            return False
        seen.add(id(each))
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return True


def _sound(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
