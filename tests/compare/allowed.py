"""Every difference from Debian's runc that is allowed, and why. An entry that no case meets is itself a failure, so that
the list cannot outlive its reasons.

case, subject and field are regular expressions that must match as a whole; ours and theirs likewise.
"""

import re
from typing import NamedTuple


class Allowed(NamedTuple):
    why: str
    kind: str
    subject: str
    field: str
    ours: str = ".*"
    theirs: str = ".*"
    case: str = ".*"

    def covers(self, case, difference):
        wanted = (self.kind, self.subject, self.field, self.ours, self.theirs)
        return re.fullmatch(self.case, case) and all(re.fullmatch(w, d) for w, d in zip(wanted, difference))


ALLOWED = [
]
