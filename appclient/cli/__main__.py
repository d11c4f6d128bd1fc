"""`python -m appclient.cli`: the command `appclient` where its script is not on the path."""

import sys

from appclient.cli.entry import main

sys.exit(main())
