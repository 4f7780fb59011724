// Drives the released HttpAgent, its verifier on: one JSON command a line in, what came of it as a JSON line out.
import { createInterface } from "node:readline";
import { HttpAgent, EventType } from "@ag-ui/client";

const warnings = [];
console.warn = (...said) => warnings.push(said.join(" "));
console.error = () => {}; // a run that fails is told below

let agent;

async function run(command) {
  const events = [];
  let failed = null;
  const { say, id, content, result, ...parameters } = command;
  if (say !== undefined) agent.addMessage({ id: id ?? crypto.randomUUID(), role: "user", content: say });
  if (result !== undefined) agent.addMessage({ id: crypto.randomUUID(), role: "tool", ...result });
  try {
    await agent.runAgent(parameters, { onEvent: ({ event }) => void events.push(event) });
  } catch (error) {
    failed = { message: String(error.message ?? error), status: error.status, payload: error.payload };
  }
  return {
    events,
    error: failed,
    messages: agent.messages,
    interrupts: agent.pendingInterrupts,
    warnings: warnings.splice(0),
    unknown: events.filter((event) => !(event.type in EventType)),
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  let answer = {};
  if (command.agent) agent = new HttpAgent(command.agent);
  else if (command.messages) agent.setMessages(command.messages);
  else answer = await run(command);
  process.stdout.write(JSON.stringify(answer) + "\n");
}
