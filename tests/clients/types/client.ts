// A client that a person might write with the types that are generated from each document.
import type { paths as AgUi } from "./ag-ui.d.ts";
import type { components as Agents, paths as AgentsPaths } from "./agents.d.ts";
import type { paths as AiSdk } from "./ai-sdk.d.ts";
import type { paths as All } from "./all.d.ts";
import type { components as Assistant } from "./assistant.d.ts";
import type { components as Native, paths as NativePaths } from "./native.d.ts";
import type { components as OpenAI, paths as OpenAIPaths } from "./openai.d.ts";
import type { components as Sessions } from "./sessions.d.ts";

type Body<P, M extends keyof P> = P[M] extends { requestBody: { content: { "application/json": infer B } } } ? B : never;

export const message: Body<NativePaths["/v1/ai/chat/"], "post"> = { message: "Hello", companion: "smart-home" };
export const completion: Body<OpenAIPaths["/v1/chat/completions/"], "post"> = {
  model: "companion/smart-home",
  messages: [{ role: "user", content: "Hello" }],
};
export const chat: Body<AiSdk["/api/ai-sdk/chat/"], "post"> = { id: "a", messages: [], trigger: "submit-message" };
export const said: Body<AgentsPaths["/api/agents/{agent_id}/chat/"], "post"> = { message: "Hello" };
export type Run = Body<AgUi["/api/ag-ui/{agent}/"], "post">;
export type EveryDialect = [All["/v1/ai/chat/"], All["/chat/"], All["/api/chat/"], All["/api/teams/"]];

export const code = (refused: Native["schemas"]["Problem"] | OpenAI["schemas"]["OpenAIError"]): string | null =>
  "error" in refused ? refused.error.code : refused.code;
export const shown = (reply: Sessions["schemas"]["ChatReplyOut"]): string => `${reply.role}: ${reply.content}`;
export const folders = (all: Assistant["schemas"]["AssistantFoldersOut"]): string[] => all.folders.map(({ name }) => name);
export const status = (agent: Agents["schemas"]["DirectAgentOut"]): "active" | "disabled" => agent.status;

export async function ask(url: string, key: string): Promise<Native["schemas"]["ChatAnswer"]> {
  const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
  const answer = await fetch(`${url}/v1/ai/chat`, { method: "POST", headers, body: JSON.stringify(message) });
  if (!answer.ok) throw new Error(code((await answer.json()) as Native["schemas"]["Problem"]) ?? "unknown");
  return (await answer.json()) as Native["schemas"]["ChatAnswer"];
}
