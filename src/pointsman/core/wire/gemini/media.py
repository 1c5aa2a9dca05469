"""Media: what an address says of the file behind it."""

_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
}


def is_stored(uri: str) -> bool:
    """Return whether a file's address is one that Google alone can read."""
    return not uri.startswith(("https://", "http://")) or (
        "generativelanguage" in uri.partition("//")[2].partition("/")[0]
    )


def is_youtube(uri: str) -> bool:
    """Return whether an address is a video's that Gemini fetches itself."""
    host = uri.partition("//")[2].partition("/")[0]
    return host in ("www.youtube.com", "youtube.com", "m.youtube.com", "youtu.be")


def guessed_type(uri: str) -> str:
    """Return the media type that an address ends like, "" where it does not say."""
    ending = uri.partition("?")[0].rpartition(".")[2].lower()
    return _TYPES.get(ending, "")
