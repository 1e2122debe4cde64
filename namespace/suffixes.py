"""Content types by suffix, for files that nobody gave one (DESIGN 3.3).

One table, here: the machine's own (`/etc/mime.types`) would let two gateways answer differently for one file.
"""

from __future__ import annotations

DEFAULT_CONTENT_TYPE = "binary/octet-stream"

_BY_TYPE = {
    "application/epub+zip": "epub",
    "application/gzip": "gz tgz",
    "application/java-archive": "jar",
    "application/json": "json map",
    "application/ld+json": "jsonld",
    "application/manifest+json": "webmanifest",
    "application/msword": "doc",
    "application/pdf": "pdf",
    "application/postscript": "ps ai eps",
    "application/rtf": "rtf",
    "application/sql": "sql",
    "application/vnd.apache.parquet": "parquet",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-powerpoint": "ppt",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.sqlite3": "sqlite sqlite3 db3",
    "application/wasm": "wasm",
    "application/x-7z-compressed": "7z",
    "application/x-bzip2": "bz2",
    "application/x-hdf5": "h5 hdf5",
    "application/x-ndjson": "ndjson jsonl",
    "application/x-rar-compressed": "rar",
    "application/x-sh": "sh",
    "application/x-tar": "tar",
    "application/x-xz": "xz",
    "application/xhtml+xml": "xhtml",
    "application/xml": "xml xsd xsl xslt",
    "application/yaml": "yaml yml",
    "application/zip": "zip",
    "application/zstd": "zst",
    "audio/aac": "aac",
    "audio/flac": "flac",
    "audio/mp4": "m4a",
    "audio/midi": "mid midi",
    "audio/mpeg": "mp3",
    "audio/ogg": "oga ogg opus",
    "audio/wav": "wav",
    "audio/webm": "weba",
    "font/otf": "otf",
    "font/ttf": "ttf",
    "font/woff": "woff",
    "font/woff2": "woff2",
    "image/avif": "avif",
    "image/bmp": "bmp",
    "image/gif": "gif",
    "image/heic": "heic",
    "image/jpeg": "jpg jpeg jpe",
    "image/jxl": "jxl",
    "image/png": "png",
    "image/svg+xml": "svg svgz",
    "image/tiff": "tif tiff",
    "image/vnd.adobe.photoshop": "psd",
    "image/vnd.microsoft.icon": "ico",
    "image/webp": "webp",
    "message/rfc822": "eml",
    "model/gltf-binary": "glb",
    "model/gltf+json": "gltf",
    "text/calendar": "ics",
    "text/css": "css",
    "text/csv": "csv",
    "text/html": "html htm",
    "text/javascript": "js mjs",
    "text/markdown": "md markdown",
    "text/plain": "txt text log conf ini",
    "text/tab-separated-values": "tsv",
    "text/vcard": "vcf",
    "text/x-c": "c h",
    "text/x-c++": "cc cpp hpp",
    "text/x-python": "py",
    "text/x-rust": "rs",
    "video/mp2t": "ts m2ts",
    "video/mp4": "mp4 m4v",
    "video/mpeg": "mpg mpeg",
    "video/ogg": "ogv",
    "video/quicktime": "mov qt",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
    "video/x-msvideo": "avi",
}
_BY_SUFFIX = {suffix.encode(): kind for kind, suffixes in _BY_TYPE.items() for suffix in suffixes.split()}


def content_type(key: bytes) -> str:
    """Return the content type that the suffix of *key*'s last component tells."""
    name = key[key.rfind(b"/") + 1 :]
    dot = name.rfind(b".")
    if dot <= 0:  # a leading dot hides a file, it begins no suffix
        return DEFAULT_CONTENT_TYPE
    return _BY_SUFFIX.get(name[dot + 1 :].lower(), DEFAULT_CONTENT_TYPE)
