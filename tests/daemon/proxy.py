"""A TCP proxy before a server, that loses what it is told to lose."""
import socket
import threading


class Proxy:
    """Forwards to `port`. When a client sends something that contains `swallow`, it reaches the server, but the answer is lost
    and the connection is cut: the client cannot know what became of it. Happens `times` times."""

    def __init__(self, port, swallow, times=1):
        self.target, self.swallow, self.left, self.swallowed = port, swallow, times, 0
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.sockets, self.lock = [self.server], threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return  # closed
            server = socket.create_connection(("127.0.0.1", self.target))
            with self.lock:
                self.sockets += [client, server]
            silent = threading.Event()
            threading.Thread(target=self._to_server, args=(client, server, silent), daemon=True).start()
            threading.Thread(target=self._to_client, args=(client, server, silent), daemon=True).start()

    def _to_server(self, client, server, silent):
        for data in iter(lambda: receive(client), b""):
            if self.swallow in data and self.left > 0:
                self.left -= 1
                silent.set()
                server.sendall(data)
                continue
            server.sendall(data)
        shut(server)

    def _to_client(self, client, server, silent):
        for data in iter(lambda: receive(server), b""):
            if silent.is_set():
                self.swallowed += 1
                break
            client.sendall(data)
        shut(client)
        shut(server)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self.lock:
            for one in self.sockets:
                one.close()


def receive(connection):
    try:
        return connection.recv(65536)
    except OSError:
        return b""


def shut(connection):
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
