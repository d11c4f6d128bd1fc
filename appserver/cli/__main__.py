"""`python -m appserver.cli`: the command `appserver` where its script is not on the path."""

import sys

from appserver.cli.entry import main

sys.exit(main())
