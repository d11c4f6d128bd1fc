"""The warehouse's script: `python -m orders.deliver CODE QUANTITY`.

It has no event loop and no `await`: the blocking client serves the same interfaces with plain functions.
"""

from __future__ import annotations

import argparse
import sys

from appclient.bridge import blocking
from orders.client import EXPECTED, add_connection_arguments
from orders.contract import Warehouse


def main() -> int:
    """Put goods into the stock; returns the exit status."""
    parser = argparse.ArgumentParser(prog="deliver", description=main.__doc__)
    add_connection_arguments(parser)
    parser.add_argument("code")
    parser.add_argument("quantity", type=int)
    arguments = parser.parse_args()
    try:
        with blocking.connect(
            arguments.address,
            resources=arguments.resources,
            settings=arguments.settings,
            application="deliver",
        ) as server:
            warehouse = server.use(Warehouse)
            product = warehouse.deliver(arguments.code, arguments.quantity)
    except EXPECTED as exc:
        print(f"deliver: {exc}", file=sys.stderr)
        return 1
    print(f"{product.code}: {product.stock} in stock")
    return 0


if __name__ == "__main__":
    sys.exit(main())
