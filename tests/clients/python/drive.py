"""Drives one Python client through its own API; runs in that client's environment, alone.

Reads a scenario as JSON from standard input, makes its calls, flushes, and prints what came of it.
"""

import importlib
import json
import sys
import time
from datetime import datetime
from typing import Any


def main(module: str) -> None:
    scenario = json.load(sys.stdin)
    dropped: list[str] = []
    client = importlib.import_module(module).Client(
        scenario["key"],
        host=scenario["host"],
        on_error=lambda error, batch: dropped.extend([type(error).__name__] * len(batch)),
        **scenario["options"],
    )
    for call in scenario["calls"]:
        make(client, call)
        time.sleep(scenario["pause_s"])
    print(json.dumps({"called": len(scenario["calls"])}), flush=True)
    client.flush()
    client.join()
    print(json.dumps({"dropped": dropped}), flush=True)


def make(client: Any, call: dict[str, Any]) -> None:
    user, values = call["userId"], revived(call.get("values"))
    match call["kind"]:
        case "identify":
            client.identify(user, values)
        case "track":
            client.track(user, call["event"], values)
        case "page":
            client.page(user, call["category"], call["name"], values)
        case "screen":
            client.screen(user, call["category"], call["name"], values)
        case "group":
            client.group(user, call["groupId"], values)
        case "alias":
            client.alias(call["previousId"], user)


def revived(value: Any) -> Any:
    """What JSON cannot say stands as an object with one key, `$` and the type's name."""
    match value:
        case {"$date": text}:
            return datetime.fromisoformat(text)
        case {"$number": text}:
            return float(text)
        case dict():
            return {key: revived(one) for key, one in value.items()}
        case list():
            return [revived(one) for one in value]
        case _:
            return value


main(sys.argv[1])
