"""Ends TLS on both sides and keeps what goes through: each direction of each connection in a file of its own.

Python's ssl module, so that it shares nothing with what it observes.
"""
import itertools
import select
import socket
import ssl
import sys
import threading

outside, inside, folder, agent = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(folder + "/own.pem", folder + "/own.key")
server.set_alpn_protocols(["h2"])
client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client.check_hostname = False
client.load_verify_locations(folder + "/ca.pem")
client.set_alpn_protocols(["h2"])
if agent != "nobody":
    client.load_cert_chain(folder + "/agent.pem", folder + "/agent.key")


def relay(box, control_plane, name):
    other = {box: control_plane, control_plane: box}
    with open(name + "-up", "wb", buffering=0) as up, open(name + "-down", "wb", buffering=0) as down:
        kept = {box: up, control_plane: down}
        while True:
            ready = [s for s in other if s.pending()] or select.select(list(other), [], [])[0]
            for s in ready:
                s.setblocking(False)
                try:
                    more = s.recv(65536)
                except ssl.SSLWantReadError:
                    continue
                finally:
                    s.setblocking(True)
                if not more:
                    return
                kept[s].write(more)
                other[s].sendall(more)


def serve(raw, name):
    try:
        with server.wrap_socket(raw, server_side=True) as box:
            with client.wrap_socket(socket.create_connection(("127.0.0.1", inside))) as control_plane:
                relay(box, control_plane, name)
    except OSError as problem:
        print(problem, flush=True)


listener = socket.create_server(("127.0.0.1", outside))
print("listens", flush=True)
for number in itertools.count():
    name = f"{folder}/seen/{agent}-{number}"
    threading.Thread(target=serve, args=(listener.accept()[0], name), daemon=True).start()
