"""A candidate proves itself before it is served to all: a router in front of it and of the champion.

caller ──► router ──► champion     every request, as without a router
              └─────► candidate    a share of the transcriptions as well, until it is withdrawn

In mode ``shadow`` callers always get the champion's reply. In mode ``canary`` they get the candidate's for
that share, unless it fails or is late: then the champion's, which is on its way already. In both the two
replies are compared, so that the evidence is of the same requests under the same load; none is kept.
"""
