"""One process, one port: the page for people and the HTTP API for programs (extra `server`).

`command` is `cnlrn serve`; `app` puts the parts together: `api` (the routes), `guard` (who may ask, and for how long),
`jobs`, `workers` (what computes) and the static files in `page`. `client` is the other side, `cnlrn restore --server`,
and needs no extra. How pictures are restored is not known here: see `cnlrn.restoration.restorer`.
"""
