"""Units of account: ISO 4217 currencies and declared units, each with the decimals it is exact to."""

from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from schemas.errors import BadMessage

_NO_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_TWO_DECIMALS = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP "
    "CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR "
    "JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN "
    "NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP "
    "SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VES WST XCD YER ZAR ZMW ZWG"
)
_THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND"
_DECLARED = {"SAT": 0, "BTC": 8, "MILES": 0, "POINTS": 0}

EXPONENTS: dict[str, int] = (
    dict.fromkeys(_NO_DECIMALS.split(), 0)
    | dict.fromkeys(_TWO_DECIMALS.split(), 2)
    | dict.fromkeys(_THREE_DECIMALS.split(), 3)
    | _DECLARED
)
"""Decimals of each unit. A unit that is not here is refused, since its amounts would have no exact size."""

MAX_MINOR_UNITS = 10**15
"""No amount has more than this many of its unit's smallest parts: up to here a JSON number is exact."""


class _NumberOrText:
    """Takes a decimal from JSON numbers and text only: pydantic's lax mode takes the list [sign, digits, exponent] too,
    and lets the errors of `decimal` through (pydantic-core `decimal.rs`).
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        lax = handler(source)
        strict: Any = {**lax, "strict": True}
        return core_schema.json_or_python_schema(json_schema=strict, python_schema=lax)


Amount = Annotated[Decimal, Field(ge=0, allow_inf_nan=False), _NumberOrText()]
"""A decimal, not negative, neither infinite nor NaN: a JSON number or text."""

_SCALES = {unit: 10**exponent for unit, exponent in EXPONENTS.items()}
_PARTS = {unit: Decimal(scale) for unit, scale in _SCALES.items()}
_SMALLEST = {
    unit: (Decimal(1).scaleb(-exponent), Decimal(MAX_MINOR_UNITS // 10**exponent))
    for unit, exponent in EXPONENTS.items()
}
_EXACT = Context(prec=64, traps=[Inexact, InvalidOperation])
_WHOLE = Context(prec=len(str(MAX_MINOR_UNITS)) - 1, traps=[Inexact, InvalidOperation])
"""Takes every amount of whole minor units that is smaller than the largest one, in a third of the time."""


def refuse_inexact(amount: Decimal, unit: str) -> None:
    """Raise BadMessage for an unknown unit, and for an amount finer than the unit or too large to be exact."""
    known = _SMALLEST.get(unit)
    if known is None:
        raise BadMessage("unknown_unit", f"currency {unit!r} is neither ISO 4217 nor declared")
    smallest, largest = known
    try:
        _WHOLE.quantize(amount, smallest)
    except (Inexact, InvalidOperation):
        _refuse_if_inexact(amount, unit, smallest, largest)


def _refuse_if_inexact(amount: Decimal, unit: str, smallest: Decimal, largest: Decimal) -> None:
    if amount > largest or amount < -largest:
        raise BadMessage(
            "inexact_amount", f"amount {amount:.3e} {unit} is more than {largest:,}: not exact as a number"
        )
    try:
        whole = not _EXACT.remainder(amount, smallest)
    except (Inexact, InvalidOperation):
        whole = False
    if not whole:
        raise BadMessage(
            "inexact_amount", f"amount {amount} is finer than {unit}, which has {EXPONENTS[unit]} decimals"
        )


def minor_units(amount: Decimal, unit: str) -> int:
    """Return the amount as a whole number of the unit's smallest part.

    Raises BadMessage for an unknown unit, and for an amount finer than the unit or too large to be exact.

    >>> minor_units(Decimal("12.30"), "EUR")
    1230
    """
    refuse_inexact(amount, unit)
    return int(amount * _PARTS[unit])


def major(minor: float, unit: str) -> float:
    """Return a number of minor units (an amount or a mean of amounts) in the unit itself.

    >>> major(1230, "EUR")
    12.3
    """
    return float(minor / _SCALES[unit])
