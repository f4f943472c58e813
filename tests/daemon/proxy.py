"""A TCP proxy before a server, that loses what it is told to lose."""
import socket
import threading


class Proxy:
    """Forwards to `port`. When a client sends something that contains `swallow`, the connection is cut: `before`, so that it does
    not reach the server, or else after it did, and its answer is lost: the client cannot know what became of it. Happens
    `times` times."""

    def __init__(self, port, swallow=b"", times=1, before=False):
        self.target, self.swallowed = port, 0
        self.arm(swallow, times if swallow else 0, before)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.sockets, self.lock = set(), threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, swallow, times=1, before=False):
        self.swallow, self.before, self.left = swallow, before, times

    def cut(self):
        """All connections there are, in the middle of whatever they carry."""
        with self.lock:
            for one in self.sockets:
                shut(one)

    def _accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return  # closed
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            with self.lock:
                self.sockets |= {client, server}
            silent = threading.Event()
            forth = threading.Thread(target=self._to_server, args=(client, server, silent), daemon=True)
            back = threading.Thread(target=self._to_client, args=(client, server, silent), daemon=True)
            forth.start()
            back.start()
            threading.Thread(target=self._close, args=(client, server, forth, back), daemon=True).start()

    def _to_server(self, client, server, silent):
        for data in iter(lambda: receive(client), b""):
            if self.left > 0 and self.swallow in data:
                self.left -= 1
                silent.set()
                if self.before:
                    self.swallowed += 1
                    break
            if not send(server, data):
                break
        shut(server)
        if silent.is_set() and self.before:
            shut(client)

    def _to_client(self, client, server, silent):
        for data in iter(lambda: receive(server), b""):
            if silent.is_set():
                self.swallowed += 1
                break
            if not send(client, data):
                break
        shut(client)
        shut(server)

    def _close(self, client, server, forth, back):
        forth.join()
        back.join()
        with self.lock:
            self.sockets -= {client, server}
        client.close()
        server.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shut(self.server)  # wakes the thread that accepts
        self.server.close()
        self.cut()


class Gate(Proxy):
    """Forwards everything, but holds back what contains `hold`, the first time: `arrived` is set then, and it waits for `go`."""

    def __init__(self, port, hold):
        self.arrived, self.go = threading.Event(), threading.Event()
        super().__init__(port, hold)

    def _to_server(self, client, server, silent):
        for data in iter(lambda: receive(client), b""):
            if self.swallow in data and not self.arrived.is_set():
                self.arrived.set()
                self.go.wait(60)
            if not send(server, data):
                break
        shut(server)


def receive(connection):
    try:
        return connection.recv(65536)
    except OSError:
        return b""


def send(connection, data):
    try:
        connection.sendall(data)
    except OSError:
        return False
    return True


def shut(connection):
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
