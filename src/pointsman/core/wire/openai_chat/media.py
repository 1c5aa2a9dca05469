"""Media: images, sound and files as this dialect's content parts have them, both ways."""

from collections.abc import Mapping

from pointsman.core.errors import RequestError
from pointsman.core.wire.fields import Fields
from pointsman.core.wire.prompt import CacheMark, Media

IMAGE_PARTS = frozenset({"image_url", "input_image", "image"})
_AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}
_AUDIO_FORMATS = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
}
# The API refuses a file without a name: the API's answer to such, as reported with the SDKs
# (openai-agents-python #1513, langchainjs #9512, read 2026-11-23).
_NAMELESS = {"application/pdf": "document.pdf", "text/plain": "document.txt"}
_PDF_START = "JVBERi"  # "%PDF" in base64


def read_image(part: Fields, mark: CacheMark | None) -> Media:
    """Return an image part: `image_url` is an object, or with some clients the URL itself."""
    link = part.value("image_url")
    image = Fields(
        {"url": link} if isinstance(link, str) else link, part.at("image_url"), part.unread
    )
    url, detail = image.needed_text("url"), image.text("detail")
    image.close()
    media_type, data = _data_url(url)
    if not data:
        return Media(kind="image", url=url, detail=detail, mark=mark)
    return Media(kind="image", media_type=media_type, data=data, detail=detail, mark=mark)


def read_audio(part: Fields, mark: CacheMark | None) -> Media:
    """Return a part with sound."""
    audio = part.child("input_audio") or Fields({}, part.at("input_audio"), part.unread)
    data, form = audio.needed_text("data"), audio.needed_text("format")
    audio.close()
    media_type = _AUDIO_TYPES.get(form, f"audio/{form}")
    return Media(kind="audio", media_type=media_type, data=data, mark=mark)


def read_file(part: Fields, mark: CacheMark | None) -> Media:
    """Return a part with a file: its data, as a data URL or plain base64, or the provider's id."""
    file = part.child("file") or Fields({}, part.at("file"), part.unread)
    said, name, file_id = file.text("file_data"), file.text("filename"), file.text("file_id")
    file.close()
    if not said:
        if not file_id:
            raise RequestError(f"{file.path} has neither file_data nor file_id", param=file.path)
        return Media(kind="file", file_id=file_id, name=name, mark=mark)
    media_type, data = _data_url(said)
    if not data:
        media_type, data = "application/pdf" if said.startswith(_PDF_START) else "", said
    return Media(kind="file", media_type=media_type, data=data, name=name, mark=mark)


def write_media(media: Media) -> Mapping[str, object]:
    """Return a content part. Raises RequestError for what no part of this dialect can hold.

    Sound is WAV or MP3; a file comes with its data, and gets a name where it has none.
    """
    if media.file_id:
        raise RequestError(
            f"{media.kind} {media.file_id}: only the provider that keeps this file can read it; "
            "send the data itself"
        )
    if media.kind == "image":
        image = {"url": media.url or _as_data_url(media, "image/png")}
        return {"type": "image_url", "image_url": image | _named("detail", media.detail)}
    if media.url:
        raise RequestError(
            f"{media.kind} {media.url[:200]}: chat completions take no {media.kind} by its URL; "
            "send the data itself"
        )
    if media.kind == "audio":
        form = _AUDIO_FORMATS.get(media.media_type)
        if form is None:
            raise RequestError(
                f"audio of type {media.media_type!r}: chat completions take WAV and MP3 alone"
            )
        return {"type": "input_audio", "input_audio": {"data": media.data, "format": form}}
    name = media.name or _NAMELESS.get(media.media_type, "document")
    data = _as_data_url(media, "application/octet-stream")
    return {"type": "file", "file": {"filename": name, "file_data": data}}


def _data_url(url: str) -> tuple[str, str]:
    """Return media type and base64 of a data URL, two empty texts for any other URL.

    Source: RFC 2397. Parameters such as charset do not matter to what is base64.
    """
    if url[:5].lower() != "data:":
        return "", ""
    head, _, data = url[5:].partition(",")
    kind, *parameters = head.split(";")
    return (kind.lower(), data) if "base64" in parameters else ("", "")


def _as_data_url(media: Media, usual: str) -> str:
    return f"data:{media.media_type or usual};base64,{media.data}"


def _named(name: str, value: str) -> dict[str, str]:
    return {name: value} if value else {}
