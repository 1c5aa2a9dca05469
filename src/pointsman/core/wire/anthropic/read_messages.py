"""Reading messages: the system prompt, the messages, and the blocks in them."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from pointsman.core.errors import RequestError
from pointsman.core.wire.anthropic.seals import seals_behind
from pointsman.core.wire.fields import Fields, Refused
from pointsman.core.wire.prompt import (
    CacheMark,
    Call,
    Media,
    Message,
    Part,
    Result,
    Role,
    Text,
    Thinking,
)

_ROLES: tuple[Role, ...] = ("system", "user", "assistant")
_PDF = "application/pdf"
_ONLY_ANTHROPIC = "only Anthropic can read it; ask for a model that is served in this dialect"
_KEPT_FILE = "the file is kept by Anthropic; send its data or its URL"


class MessageReader:
    """Reads the messages in order. `refused` gathers what may not be dropped, with the reason.

    A search result becomes text: its title, its source, its words. So does a document that is text
    itself, led by its title and context; a PDF's context is put before it.
    """

    def __init__(self, refused: Refused) -> None:
        self._refused = refused

    def read_system(self, body: Fields) -> tuple[Message, ...]:
        """Return the body's system prompt as a message, none where it is empty."""
        parts = self._content(body, "system")
        return (Message("system", parts),) if parts else ()

    def read(self, messages: Iterator[Fields]) -> tuple[Message, ...]:
        """Return the messages."""
        return tuple(self._message(fields) for fields in messages)

    def _message(self, fields: Fields) -> Message:
        said = fields.needed_text("role")
        role = next((known for known in _ROLES if known == said), None)
        if role is None:
            path = fields.at("role")
            raise RequestError(
                f"{path} is {said!r}; it must be user, assistant or system", param=path
            )
        message = Message(role, self._content(fields, "content"))
        fields.close()
        return message

    def _content(self, fields: Fields, name: str) -> tuple[Part, ...]:
        """Take content: a text, or a list of blocks."""
        value = fields.value(name)
        if value is None or value == "":
            return ()
        if isinstance(value, str):
            return (Text(text=value),)
        parts: list[Part] = []
        for block in Fields({name: value}, fields.path, fields.unread).children(name):
            parts += self._block(block)
            block.close()
        return tuple(seals_behind(parts))

    def _block(self, block: Fields) -> Iterator[Part]:
        match block.needed_text("type"):
            case "thinking":
                yield Thinking(text=block.text("thinking"), signature=block.text("signature"))
            case "redacted_thinking":
                yield Thinking(signature=block.text("data"), is_redacted=True)
            case "tool_use":
                yield _call(block)
            case "tool_result":
                yield self._result(block)
            case "compaction":
                block.tell("encrypted_content")
                text = block.text("content")
                block.drain()
                yield from (Text(text=text),) if text else ()
            case "fallback":  # marks where Anthropic went on with another model
                block.drain()
            case kind:
                yield from self._shown(kind, block)

    def _shown(self, kind: str, block: Fields) -> "Iterator[Text | Media]":
        """Yield what a message, a result or a document can show."""
        match kind:
            case "text":
                yield Text(text=block.text("text"), mark=read_mark(block))
            case "image":
                source, _ = _source(block)
                yield self._media(block, source, "image")
            case "document":
                yield from self._document(block)
            case "search_result":
                yield _search_result(block)
            case _:
                self._refused.append((block.path, f"a block of type {kind!r}: {_ONLY_ANTHROPIC}"))
                block.drain()

    def _result(self, block: Fields) -> Result:
        return Result(
            call_id=block.needed_text("tool_use_id"),
            parts=tuple(self._inner(block, "content")),
            is_error=block.flag("is_error") or False,
            mark=read_mark(block),
        )

    def _media(
        self, block: Fields, source: Fields, kind: Literal["image", "file"], name: str = ""
    ) -> Media:
        """Return an image or a file by its source."""
        media = Media(
            kind=kind,
            media_type=source.text("media_type") or ("" if kind == "image" else _PDF),
            data=source.text("data"),
            url=source.text("url"),
            file_id=source.text("file_id"),
            name=name,
            mark=read_mark(block),
        )
        source.close()
        if media.file_id:
            self._refused.append((source.at("file_id"), _KEPT_FILE))
        elif not (media.data or media.url):
            path = source.path
            raise RequestError(f"{path} has neither data nor url nor file_id", param=path)
        return media

    def _document(self, block: Fields) -> "Iterator[Text | Media]":
        title, context = block.text("title"), block.text("context")
        _tell_of_citations(block)
        source, kind = _source(block)
        if kind not in ("text", "content"):
            if context:
                yield Text(text=context)
            yield self._media(block, source, "file", title)
            return
        head = "\n".join(said for said in (title, context) if said)
        shown: list[Text | Media] = [Text(text=head)] if head else []
        shown += self._words(source)
        if shown and (mark := read_mark(block)):
            shown[-1] = msgspec.structs.replace(shown[-1], mark=mark)
        yield from shown

    def _words(self, source: Fields) -> "Iterator[Text | Media]":
        """Yield a document's own words and images."""
        source.value("media_type")
        for name in ("data", "content"):
            yield from self._inner(source, name)
        source.close()

    def _inner(self, outer: Fields, name: str) -> "Iterator[Text | Media]":
        """Yield the content of a result or a document: a text, or a list of blocks."""
        content = outer.value(name)
        if isinstance(content, str):
            yield from (Text(text=content),) if content else ()
            return
        for block in Fields({name: content}, outer.path, outer.unread).children(name):
            yield from self._shown(block.needed_text("type"), block)
            block.close()


def _source(block: Fields) -> tuple[Fields, str]:
    source = block.child("source") or Fields({}, block.at("source"), block.unread)
    return source, source.text("type")


def _search_result(block: Fields) -> Text:
    words = [block.text("title"), block.text("source")]
    for inner in block.children("content"):
        words.append(inner.text("text"))
        inner.value("type")
        inner.close()
    _tell_of_citations(block)
    return Text(text="\n".join(word for word in words if word), mark=read_mark(block))


def _tell_of_citations(block: Fields) -> None:
    if block.value("citations") not in (None, {}, {"enabled": False}):
        block.tell("citations")


def read_mark(fields: Fields) -> CacheMark | None:
    """Take the wish to keep what comes up to here in the prompt cache."""
    mark = fields.child("cache_control")
    if mark is None:
        return None
    ttl = mark.text("ttl")
    mark.value("type")
    mark.close()
    return CacheMark("1h") if ttl == "1h" else CacheMark()


def _call(block: Fields) -> Call:
    made, name = block.needed_text("id"), block.needed_text("name")
    caller = block.value("caller")
    if caller not in (None, {"type": "direct"}):
        block.tell("caller")
    return Call(
        id=made, name=name, arguments=(block.raw("input") or b"{}").decode(), mark=read_mark(block)
    )
