"""HTTP/1.1: pointsman's own client, over httptools (Node's parser) and asyncio's transports.

It posts, and reads replies: no more of HTTP is needed, and less is less to attack. `reading` and
`writing` know bytes alone, `connection` moves them, `dialing` opens connections, `pool` keeps them,
and `client` is all of it as a `Transport`.
"""
