"""A stand-in for Amazon ECS and CloudWatch Logs, as far as Airflow asks them: a task that is run is a process here.

It answers RunTask, ListTasks, DescribeTasks and StopTask, and GetLogEvents. It checks no permissions, places nothing and never
refuses: what only AWS can show, it does not.
"""

from __future__ import annotations

import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Ecs:
    """Runs commands of tasks with the program; what was asked of RunTask is in `asked`."""

    def __init__(self, program: str, variables: dict[str, str]):
        self.program = program
        # Of the task definition.
        self.variables = variables
        self.asked: list[dict] = []
        self.tasks: dict[str, tuple[str, subprocess.Popen]] = {}
        self.logs: dict[str, list[str]] = {}

    def __enter__(self) -> Ecs:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                action = self.headers["X-Amz-Target"].rpartition(".")[2]
                answer = json.dumps(getattr(stand_in, action)(body)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        for _, process in self.tasks.values():
            process.kill()
            process.wait()

    def RunTask(self, asked: dict) -> dict:  # noqa: N802
        self.asked.append(asked)
        (override,) = asked["overrides"]["containerOverrides"]
        variables = {**self.variables, **{variable["name"]: variable["value"] for variable in override["environment"]}}
        number = str(len(self.asked))
        command = [self.program, *override["command"]]
        process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.tasks[number] = override["name"], process
        lines = self.logs[f"topshelf/{override['name']}/{number}"] = []
        threading.Thread(target=lambda: lines.extend(line.rstrip() for line in process.stdout), daemon=True).start()
        return {"tasks": [self.described(number)], "failures": []}

    def described(self, number: str) -> dict:
        name, process = self.tasks[number]
        has_ended = process.poll() is not None
        status = "STOPPED" if has_ended else "RUNNING"
        container = {"name": name, "lastStatus": status, **({"exitCode": process.returncode} if has_ended else {})}
        return {
            "taskArn": f"arn:aws:ecs:eu-west-1:123456789012:task/ads/{number}",
            "lastStatus": status,
            "desiredStatus": status,
            "containers": [container],
        }

    def DescribeTasks(self, asked: dict) -> dict:  # noqa: N802
        return {"tasks": [self.described(arn.rpartition("/")[2]) for arn in asked["tasks"]], "failures": []}

    def ListTasks(self, _asked: dict) -> dict:  # noqa: N802
        return {"taskArns": []}

    def StopTask(self, asked: dict) -> dict:  # noqa: N802
        number = asked["task"].rpartition("/")[2]
        self.tasks[number][1].terminate()
        return {"task": self.described(number)}

    def GetLogEvents(self, asked: dict) -> dict:  # noqa: N802
        lines = self.logs[asked["logStreamName"]]
        events = [{"timestamp": number + 1, "message": line, "ingestionTime": number + 1} for number, line in enumerate(lines)]
        if asked.get("startFromHead"):
            begin = int(asked.get("nextToken", "f/0")[2:])
            events = events[begin:]
        else:
            begin = 0
            events = events[-asked.get("limit", len(events)) :]
        return {"events": events, "nextForwardToken": f"f/{begin + len(events)}", "nextBackwardToken": "b/0"}
