"""The arguments of a call and the body that carries them.

The body is an array of the positional arguments in order and, always last, one map of the others:
`[1, 2, {"urgent": true}]`, `[{}]`. Optional positional arguments that were not given are left out; one
that follows such a gap goes into the map by its name. A stream or blob has no place in the body.

Both directions are generated per method. Encoding is a function with the very parameters of the
contract, so that Python itself binds a call and words its mistakes. Decoding has a generated path for
the common call, with just the required positional arguments, and a table-driven one for all others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from protocol.interface.blob import Blob
from protocol.interface.converter import too_deep
from protocol.interface.errors import InvalidValue, mismatch, shown
from protocol.interface.parameters import Channel, Flow, Parameter
from protocol.interface.source import Source
from protocol.interface.stream import Stream

_MISSING = object()
_CHANNELS: dict[Channel, type] = {Channel.VALUES: Stream, Channel.BYTES: Blob}


def arguments_encoder(
    qualified: str, parameters: Sequence[Parameter], takes: Flow
) -> Callable[[tuple[Any, ...], Mapping[str, Any]], tuple[list[Any], Any]]:
    """Return what turns a call's arguments into a body and the stream or blob that goes with it.

    The function takes `args` and `kwargs` and returns the pair. It raises `TypeError`, worded by Python,
    where they do not fit the signature, and `InvalidValue` where a value is not what was annotated.

    Args:
        qualified: the method's name, `Orders.find`.
        parameters: as declared.
        takes: what flows with the body.
    """
    source = Source(f"{qualified} encode")
    source.bind("InvalidValue", InvalidValue)
    source.bind("too_deep", too_deep)
    source.bind("MISSING", _MISSING)
    source.line(0, f"def call({_signature(parameters)}):")
    source.line(1, "_at = ''")
    source.line(1, "try:")
    body = []
    for parameter in parameters:
        name, converter = parameter.name, parameter.converter
        if parameter.required and converter is not None:
            source.convert(2, name, f".{name}", converter, converter.encode)
            if parameter.positional:
                body.append(name)
    source.line(2, f"_body = [{', '.join(body)}]")
    source.line(2, "_named = {}")
    place = len(body)
    for parameter in parameters:
        if parameter.required and not parameter.positional and parameter.converter is not None:
            source.line(2, f"_named[{parameter.name!r}] = {parameter.name}")
        elif not parameter.required:
            _add_optional(source, parameter, place if parameter.positional else None)
            place += parameter.positional
    channel = _add_channel(source, parameters, takes)
    source.line(1, "except _InvalidValue as _error:")
    source.line(2, "_error.within('args' + _at)")
    source.line(2, "raise")
    source.line(1, "except RecursionError:")
    source.line(2, "raise _too_deep('args' + _at) from None")
    source.line(1, "_body.append(_named)")
    source.line(1, f"return _body, {channel}")
    call = source.build("call")
    call.__qualname__ = qualified  # what Python's own messages start with

    def encode(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[list[Any], Any]:
        result: tuple[list[Any], Any] = call(*args, **kwargs)
        return result

    return encode


def _signature(parameters: Sequence[Parameter]) -> str:
    """Return the parameters as source text; `MISSING` stands for a default that is not sent."""
    parts: list[str] = []
    for index, parameter in enumerate(parameters):
        if not parameter.positional and "*" not in parts:
            parts.append("*")
        parts.append(parameter.name if parameter.required else f"{parameter.name}=_MISSING")
        following = parameters[index + 1] if index + 1 < len(parameters) else None
        if not parameter.named and (following is None or following.named):
            parts.append("/")
    return ", ".join(parts)


def _add_optional(source: Source, parameter: Parameter, place: int | None) -> None:
    assert parameter.converter is not None  # a stream or blob is always required
    name = parameter.name
    source.line(2, f"if {name} is not _MISSING:")
    source.convert(3, name, f".{name}", parameter.converter, parameter.converter.encode)
    if place is None:
        source.line(3, f"_named[{name!r}] = {name}")
        return
    source.bind("len", len)
    source.line(3, f"if _len(_body) == {place}:")
    source.line(4, f"_body.append({name})")
    source.line(3, "else:")
    source.line(4, f"_named[{name!r}] = {name}")


def _add_channel(source: Source, parameters: Sequence[Parameter], takes: Flow) -> str:
    """Add the check of the stream or blob and return the expression that gives it."""
    for parameter in parameters:
        if parameter.converter is None:
            kind = _CHANNELS[takes.channel]
            check = source.bind("channel_type", kind)
            source.bind("isinstance", isinstance)
            source.bind("mismatch", mismatch)
            source.line(2, f"if not _isinstance({parameter.name}, {check}):")
            source.line(3, f"_at = {'.' + parameter.name!r}")
            source.line(3, f"raise _mismatch({kind.__name__!r}, {parameter.name})")
            return parameter.name
    return "None"


def arguments_decoder(
    qualified: str, parameters: Sequence[Parameter]
) -> Callable[[object, object], tuple[list[Any], dict[str, Any]]]:
    """Return what turns a body and its stream or blob into a call's `args` and `kwargs`.

    The function takes the unpacked body (untrusted) and the stream or blob, None where there is none.
    Optional arguments that did not come are left out, so that the handler's own defaults apply. It raises
    `InvalidValue`.

    Args:
        qualified: the method's name.
        parameters: as declared.
    """
    general = _general_decoder(parameters)
    required = [parameter for parameter in parameters if parameter.required]
    if any(not parameter.positional for parameter in required):
        return general
    sent = [parameter for parameter in required if parameter.converter is not None]
    source = Source(f"{qualified} decode")
    for name, value in (
        ("InvalidValue", InvalidValue),
        ("too_deep", too_deep),
        ("general", general),
        ("list", list),
        ("len", len),
    ):
        source.bind(name, value)
    source.line(0, "def decode(_body, _channel):")
    no_channel = "_channel is not None" if len(sent) == len(required) else "_channel is None"
    unusual = f"_len(_body) != {len(sent) + 1} or _body[{len(sent)}] != {{}} or {no_channel}"
    source.line(1, f"if _type(_body) is not _list or {unusual}:")
    source.line(2, "return _general(_body, _channel)")
    if sent:
        targets = ", ".join(f"_v_{parameter.name}" for parameter in sent)
        source.line(1, f"{targets}, _ = _body")
        source.line(1, "_at = ''")
        source.line(1, "try:")
        for parameter in sent:
            assert parameter.converter is not None
            variable = f"_v_{parameter.name}"
            source.convert(2, variable, f".{parameter.name}", parameter.converter, parameter.converter.decode)
        source.line(2, "pass")
        source.line(1, "except _InvalidValue as _error:")
        source.line(2, "_error.within('args' + _at)")
        source.line(2, "raise")
        source.line(1, "except RecursionError:")
        source.line(2, "raise _too_deep('args' + _at) from None")
    values = ", ".join("_channel" if p.converter is None else f"_v_{p.name}" for p in required)
    source.line(1, f"return [{values}], {{}}")
    return source.build("decode")


def _general_decoder(
    parameters: Sequence[Parameter],
) -> Callable[[object, object], tuple[list[Any], dict[str, Any]]]:
    """Return the decoder for every form of a body."""
    positional = [parameter for parameter in parameters if parameter.positional]
    most = sum(parameter.converter is not None for parameter in positional)
    by_name = {parameter.name: parameter for parameter in parameters if parameter.named}
    channel_name = next((parameter.name for parameter in parameters if parameter.converter is None), None)

    def take(parameter: Parameter, value: object) -> Any:
        assert parameter.converter is not None
        try:
            return parameter.converter.decode(value)
        except InvalidValue as error:
            error.within(f"args.{parameter.name}")
            raise
        except RecursionError:
            raise too_deep(f"args.{parameter.name}") from None

    def decode(body: object, channel: object) -> tuple[list[Any], dict[str, Any]]:
        if type(body) is not list or not body or type(body[-1]) is not dict:
            raise InvalidValue("args", "an array that ends with a map", type(body).__name__)
        named: dict[str, Any] = body[-1]
        if len(body) - 1 > most:
            raise InvalidValue("args", f"at most {most} positional arguments", str(len(body) - 1))
        if channel is not None and channel_name is None:
            raise InvalidValue("args", "no stream or blob", "one")
        places = iter(body[:-1])
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        gap = False
        for parameter in parameters:
            name = parameter.name
            value: Any
            if parameter.converter is None:
                if channel is None:
                    raise InvalidValue(f"args.{name}", "a stream or blob", "nothing")
                value = channel
            else:
                value = next(places, _MISSING) if parameter.positional else _MISSING
                if value is _MISSING:
                    gap = True  # what follows goes by name
                    value = named.get(name, _MISSING) if parameter.named else _MISSING
                elif name in named and parameter.named:
                    raise InvalidValue(f"args.{name}", "", "", problem="given by position and by name")
                if value is _MISSING:
                    if parameter.required:
                        raise InvalidValue(f"args.{name}", parameter.converter.name, "nothing")
                    continue
                value = take(parameter, value)
            if parameter.positional and not gap:
                args.append(value)
            else:
                kwargs[name] = value
        for name in named:
            if name not in by_name or name == channel_name:
                raise InvalidValue(f"args.{shown(name)[1:-1]}", "", "", problem="unknown argument")
        return args, kwargs

    return decode
