// Drives OpenAI's released client: a JSON list of requests in, what came of each as a JSON list out.
import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });

async function streamed(body) {
  const chunks = [];
  for await (const chunk of await client.chat.completions.create({ ...body, stream: true })) chunks.push(chunk);
  return { chunks };
}

// The client's own way of putting a stream together.
async function gathered(body) {
  const stream = client.chat.completions.stream(body);
  const seen = [];
  stream.on("content", (delta) => seen.push(delta));
  return { final: await stream.finalChatCompletion(), text: seen.join("") };
}

const does = {
  create: (body) => client.chat.completions.create(body),
  stream: streamed,
  gather: gathered,
  models: async () => (await client.models.list()).data,
  model: (id) => client.models.retrieve(id),
};

let input = "";
for await (const piece of process.stdin) input += piece;
const told = [];
for (const [name, argument] of JSON.parse(input)) {
  try {
    told.push({ ok: await does[name](argument) });
  } catch (error) {
    const { status, code, type, param, message } = error;
    told.push({ failed: { kind: error.constructor.name, status, code, type, param, message } });
  }
}
console.log(JSON.stringify(told));
