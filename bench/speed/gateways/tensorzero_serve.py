"""Serve TensorZero's embedded gateway: its own HTTP server in this process, on a port it chooses.

Run in the peer's environment: python serve.py CONFIG ADDRESS_FILE. Its base URL goes into the file.
"""

import sys
import threading
from pathlib import Path

import openai
import tensorzero  # type: ignore[import-not-found]  # in the peer's environment alone

client = tensorzero.patch_openai_client(
    openai.OpenAI(api_key="sk-bench"), config_file=sys.argv[1], async_setup=False
)
address = Path(sys.argv[2])
part = address.with_suffix(".part")
part.write_text(str(client.base_url).rstrip("/"), "utf-8")
part.replace(address)
threading.Event().wait()
