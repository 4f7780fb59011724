// Reads an answer as the clients of this API do: splits what comes on "\n", takes the lines that begin with "data: ",
// stops at [DONE]. Prints each piece of text as a JSON line, and the types that it passed over.
// node reader.mjs BASE_URL KEY PATH BODY
const [base, key, path, body] = process.argv.slice(2);
const response = await fetch(base + path, {
  method: "POST",
  headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
  body,
});
if (!response.ok) throw new Error(`${response.status}: ${(await response.json()).detail}`);

const decoder = new TextDecoder();
const pieces = [];
const others = [];
let rest = "";
let stopped = false;
for await (const chunk of response.body) {
  const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
  rest = lines.pop();
  for (const line of lines) {
    if (!line.startsWith("data: ")) continue;
    const data = line.slice(6);
    if (data === "[DONE]") {
      stopped = true;
      break;
    }
    const event = JSON.parse(data);
    if (event.type === "text") pieces.push([event.agent_name ?? "", event.content]);
    else others.push(event.type);
  }
  if (stopped) break;
}
console.log(JSON.stringify({ pieces, others, stopped, conversation: response.headers.get("X-Conversation-Id") }));
