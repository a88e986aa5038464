"""A client of the Model Context Protocol that is none of ours: the official SDK for Python.

Reads from standard input what to reach and what to call, as JSON: {"command": [...]} or {"url", "token", "ca"}, and "calls",
a list of [tool, arguments]. Prints what it got, as JSON; {"refused": ...} when it was not let in.
"""

import asyncio
import json
import ssl
import sys

import httpx2
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client


async def talk(streams, calls):
    async with ClientSession(*streams[:2]) as session:
        await session.initialize()
        tools = await session.list_tools()
        answers = []
        for tool, arguments in calls:
            try:
                said = await session.call_tool(tool, arguments)
                answer = said.model_dump(mode="json")
                text = "".join(part.get("text", "") for part in answer["content"])
                failed = bool(answer.get("isError") or answer.get("is_error"))
                answers.append({"failed": failed, "text": text})
            except Exception as error:  # the protocol's own refusal
                answers.append({"failed": True, "text": str(error)})
        return {"tools": {tool.name: tool.description for tool in tools.tools}, "answers": answers}


async def main():
    asked = json.load(sys.stdin)
    if "command" in asked:
        program = StdioServerParameters(command=asked["command"][0], args=asked["command"][1:])
        async with stdio_client(program) as streams:
            return await talk(streams, asked["calls"])
    trust = ssl.create_default_context(cafile=asked["ca"])
    headers = {"Authorization": f"Bearer {asked['token']}"}
    async with httpx2.AsyncClient(verify=trust, headers=headers, timeout=30) as client:
        try:
            async with streamable_http_client(asked["url"], http_client=client) as streams:
                return await talk(streams, asked["calls"])
        except BaseException as error:  # a group, with what happened somewhere inside
            return {"refused": repr(error)}


print(json.dumps(asyncio.run(main())))
