"""What InfluxDB 2.x and 3.x say over HTTP, written from their documentation, in front of the real 1.6.7.

It stands in for servers that cannot be had here: the store behind it is real, the two dialects are ours. What it
cannot show is listed in docs/unverified.md.
"""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

TOKEN = "a-token"
ORG = "hinomi"


class StandIn:
    """``major`` is "2" or "3"; ``requests`` remembers method, path, query and body."""

    def __init__(self, upstream: str, major: str, session: aiohttp.ClientSession) -> None:
        self.upstream = upstream
        self.major = major
        self.url = ""
        self.requests: list[tuple[str, str, dict[str, str], str]] = []
        self.headers: list[dict[str, str]] = []
        self.lists_series = True
        self.next_answers: list[web.Response] = []
        self._session = session

    @property
    def paths(self) -> list[str]:
        return [f"{method} {path}" for method, path, _, _ in self.requests]

    async def handle(self, request: web.Request) -> web.Response:
        body = (await request.read()).decode()
        self.requests.append((request.method, request.path, dict(request.query), body))
        self.headers.append(dict(request.headers))
        if request.path == "/ping":
            return web.Response(status=204, headers={"X-Influxdb-Version": f"v{self.major}.7.4"})
        if self.next_answers:
            return self.next_answers.pop(0)
        if request.headers.get("Authorization") != f"Token {TOKEN}":
            return said(401, {"code": "unauthorized", "message": "unauthorized access"})
        answer = {
            ("POST", "/api/v2/write"): self.write,
            ("GET", "/query"): self.query,
            ("GET", "/api/v2/orgs"): self.orgs,
            ("POST", "/api/v2/buckets"): self.buckets,
            ("POST", "/api/v2/delete"): self.delete,
        }.get((request.method, request.path))
        if answer is None:
            return said(404, {"code": "not found", "message": "path not found"})
        return await answer(request.query, body)

    async def write(self, query, body: str) -> web.Response:
        assert query["precision"] == "ms"
        status, text = await self.ask("/write", {"db": query["bucket"], "precision": "ms"}, body)
        if status == 404 and self.major == "3":
            await self.ask("/query", {"q": f'CREATE DATABASE "{query["bucket"]}"'}, "")
            status, text = await self.ask("/write", {"db": query["bucket"], "precision": "ms"}, body)
        if status == 204:
            return web.Response(status=204)
        if status == 404:
            return said(404, {"code": "not found", "message": f'bucket "{query["bucket"]}" not found'})
        error = json.loads(text)["error"]
        if self.major == "3":
            lines = [{"original_line": body[:60], "line_number": 1, "error_message": error}]
            return said(400, {"error": "partial write of line protocol occurred", "data": lines})
        if "unable to parse" in error:
            return said(400, {"code": "invalid", "message": error})
        message = f"failure writing points to database: {error}"
        return said(422, {"code": "unprocessable entity", "message": message})

    async def query(self, query, _body: str) -> web.Response:
        if (self.major == "3" or not self.lists_series) and "SHOW SERIES" in query["q"]:
            return said(400, {"error": "This feature is not implemented: SHOW SERIES"})
        assert re.match(r"SELECT|SHOW", query["q"])
        async with self._session.get(f"{self.upstream}/query", params=query) as answer:
            return web.Response(status=answer.status, text=await answer.text(), content_type="application/json")

    async def orgs(self, query, _body: str) -> web.Response:
        if query["org"] != ORG:
            return said(404, {"code": "not found", "message": f'organization name "{query["org"]}" not found'})
        return said(200, {"orgs": [{"id": "0123456789abcdef", "name": ORG}]})

    async def buckets(self, _query, body: str) -> web.Response:
        wanted = json.loads(body)
        assert wanted["orgID"] == "0123456789abcdef"
        (rule,) = wanted["retentionRules"]
        assert rule["type"] == "expire"
        _, found = await self.ask("/query", {"q": "SHOW DATABASES"}, "")
        if [wanted["name"]] in json.loads(found)["results"][0]["series"][0].get("values", []):
            return said(422, {"code": "conflict", "message": f"bucket with name {wanted['name']} already exists"})
        create = f'CREATE DATABASE "{wanted["name"]}" WITH DURATION {rule["everySeconds"]}s'
        await self.ask("/query", {"q": create}, "")
        return said(201, {"id": "fedcba9876543210", **wanted})

    async def delete(self, query, body: str) -> web.Response:
        wanted = json.loads(body)
        where = f"time >= '{wanted['start']}' AND time <= '{wanted['stop']}'"
        if wanted["predicate"]:
            name, value = re.fullmatch(r'(\w+)="((?:[^"\\]|\\.)*)"', wanted["predicate"]).groups()
            plain = re.sub(r"\\(.)", r"\1", value).replace("\\", "\\\\").replace("'", "\\'")
            where += f" AND {name} = '{plain}'"
        status, text = await self.ask("/query", {"db": query["bucket"], "q": f"DELETE FROM /.*/ WHERE {where}"}, "")
        if "database not found" in text:
            return said(404, {"code": "not found", "message": f'bucket "{query["bucket"]}" not found'})
        assert status == 200, text
        assert "error" not in text, text
        return web.Response(status=204)

    async def ask(self, path: str, params: dict[str, str], body: str) -> tuple[int, str]:
        async with self._session.post(f"{self.upstream}{path}", params=params, data=body.encode()) as answer:
            return answer.status, await answer.text()


def said(status: int, body: object, **headers: str) -> web.Response:
    return web.json_response(body, status=status, headers=headers)


@asynccontextmanager
async def stand_in(upstream: str, major: str) -> AsyncIterator[StandIn]:
    async with aiohttp.ClientSession() as session:
        server = StandIn(upstream, major, session)
        app = web.Application(client_max_size=32 << 20)
        app.router.add_route("*", "/{tail:.*}", server.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield server
        finally:
            await runner.cleanup()
