"""The AWS CLI without its start: a deployment calls it more than thirty times, and each start takes most of a second.

A server has imported the CLI and read its descriptions of services. A small client takes the place of `aws`: it hands its words,
folder, environment and open files to a fork of the server, which goes on from there as `aws` does, and ends with its exit code. When
the client is killed, so is the fork. The server ends when its standard input does.
"""

from __future__ import annotations

# The client has nothing else to import, since it is started as often as the CLI would be.
import marshal
import os
import socket
import sys

SERVICES = ["cloudformation", "ec2", "ecr", "ecs", "logs", "rds", "s3", "sts"]
DESCRIPTIONS = ["service-2", "paginators-1", "waiters-2", "endpoint-rule-set-1"]


def call(address: str, words: list[str]) -> int:
    """The client. The exit code is the CLI's; 1 if it has none, as after a traceback."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(address)
        socket.send_fds(connection, [marshal.dumps((words, os.getcwd(), dict(os.environ)))], [0, 1, 2])
        code = connection.recv(1)
    return code[0] if code else 1


def warm_up():
    """All sessions share what is read of services, which depends on neither words nor environment."""
    from functools import cache

    import awscli.clidriver
    import botocore.exceptions
    import botocore.session  # The CLI's own, which it puts in the place of that of PyPI.

    botocore.session.create_loader = cache(botocore.session.create_loader)
    session = awscli.clidriver.create_clidriver().session
    loader = session.get_component("data_loader")
    for service in SERVICES:
        for description in DESCRIPTIONS:
            try:
                loader.load_service_model(service, description)
            except botocore.exceptions.UnknownServiceError:
                pass
    session.get_component("endpoint_resolver")


def wait_for_call(address: str) -> socket.socket:
    """Comes back in a fork, with the connection of a client."""
    import select
    import signal

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)
        listener.listen(64)
        print("ready", flush=True)
        while True:
            readable, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in readable:
                sys.exit()
            connection, _ = listener.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                return connection
            connection.close()


def answer(connection: socket.socket):
    """Goes on as `aws`, called as the client was."""
    import signal
    import threading

    import awscli.clidriver

    told, files, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    words, folder, environment = marshal.loads(told)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    # The CLI has set where its descriptions are when it was imported.
    environment.setdefault("AWS_DATA_PATH", os.environ["AWS_DATA_PATH"])
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["aws", *words]

    def end_with_the_client():
        connection.recv(1)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=end_with_the_client, daemon=True).start()
    try:
        sys.exit(awscli.clidriver.main())
    except SystemExit as ended:
        code = ended.code or 0
    sys.stdout.flush()
    connection.send(bytes([code]))


if __name__ == "__main__":
    if sys.argv[1] == "call":
        sys.exit(call(sys.argv[2], sys.argv[3:]))
    warm_up()
    answer(wait_for_call(sys.argv[2]))
