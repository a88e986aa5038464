"""Makes cosignatures.txt beside it, with an implementation that is not ours: pyca/cryptography 48, by the text of
C2SP tlog-cosignature v1.0.1. Over the checkpoint of checkpoint.txt, in this directory:

    python3 make_cosignatures.py

Secret keys are fixed: nothing here is secret.
"""

import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

checkpoint = open("checkpoint.txt", encoding="utf-8").read()
text, _ = checkpoint.rsplit("\n\n", 1)
text += "\n"

vkeys, lines = [], []
for name, seed, seconds in [("witness.example.com/w1", 0x31, 1679315147), ("zeuge.example/ä", 0x32, 4102444800)]:
    private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    key = b"\x04" + private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    key_id = hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]
    vkeys.append(f"{name}+{key_id.hex()}+{base64.b64encode(key).decode()}\n")
    signature = private.sign(f"cosignature/v1\ntime {seconds}\n{text}".encode())
    line = base64.b64encode(key_id + seconds.to_bytes(8, "big") + signature).decode()
    lines.append(f"— {name} {line}\n")

with open("cosignatures.txt", "w", encoding="utf-8") as out:
    out.write("".join(vkeys) + "\n" + checkpoint + "".join(lines))
