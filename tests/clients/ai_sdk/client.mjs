// Chats of one version of the AI SDK, driven by lines of JSON: what `useChat` is without React.
import { createInterface } from 'node:readline';

const { AbstractChat, DefaultChatTransport, ...sdk } = await import(process.argv[2]);
const SENDS = {
  results: sdk.lastAssistantMessageIsCompleteWithToolCalls,
  approvals: sdk.lastAssistantMessageIsCompleteWithApprovalResponses,
};

class State {
  status = 'ready';
  error = undefined;
  messages = [];
  pushMessage = (message) => { this.messages = [...this.messages, message]; };
  popMessage = () => { this.messages = this.messages.slice(0, -1); };
  replaceMessage = (index, message) => {
    this.messages = [...this.messages.slice(0, index), structuredClone(message), ...this.messages.slice(index + 1)];
  };
  snapshot = (value) => structuredClone(value);
}

class Chat extends AbstractChat {
  constructor({ id, api, headers, body, messages, sends, outputs }) {
    const raw = [];
    const state = new State();
    state.messages = messages ?? [];
    const recording = async (...request) => {
      const response = await fetch(...request);
      const frames = { status: response.status, headers: Object.fromEntries(response.headers), text: '' };
      raw.push(frames);
      if (!response.body) return response;
      const [theirs, ours] = response.body.tee();
      new Response(ours).text().then((text) => { frames.text = text; }, () => {});
      return new Response(theirs, response);
    };
    // As the first versions need it, which put the path behind the query.
    const prepareReconnectToStreamRequest = ({ id: chat }) => {
      const [path, query] = api.split('?');
      return { api: `${path}/${encodeURIComponent(chat)}/stream${query ? `?${query}` : ''}`, headers };
    };
    super({
      id,
      state,
      transport: new DefaultChatTransport({ api, headers, body, fetch: recording, prepareReconnectToStreamRequest }),
      sendAutomaticallyWhen: SENDS[sends],
      onToolCall: ({ toolCall }) => {
        this.called.push(toolCall.toolName);
        const give = this.addToolOutput ?? this.addToolResult;
        if (outputs && toolCall.toolName in outputs) {
          give({ tool: toolCall.toolName, toolCallId: toolCall.toolCallId, output: outputs[toolCall.toolName] });
        }
      },
    });
    this.called = [];
    this.raw = raw;
  }
}

const chats = {};
const underWay = {};
const settled = async (chat) => {
  // An automatic request begins when the one before has ended.
  do { await new Promise((resolve) => setTimeout(resolve, 20)); } while (['submitted', 'streaming'].includes(chat.status));
};

const commands = {
  open: ({ chat, ...options }) => { chats[chat] = new Chat(options); },
  send: ({ chat, say }) => chats[chat].sendMessage(say),
  begin: ({ chat, say }) => { underWay[chat] = chats[chat].sendMessage(say); },
  wait: ({ chat }) => underWay[chat],
  stop: ({ chat }) => chats[chat].stop(),
  regenerate: ({ chat, messageId }) => chats[chat].regenerate({ messageId }),
  resume: ({ chat }) => (chats[chat].resumeStream ?? chats[chat].experimental_resume).call(chats[chat]),
  approve: ({ chat, id, approved, reason }) => chats[chat].addToolApprovalResponse({ id, approved, reason }),
  output: ({ chat, ...output }) => (chats[chat].addToolOutput ?? chats[chat].addToolResult)(output),
  look: () => {},
};

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...given } = JSON.parse(line);
  await commands[command](given);
  const chat = chats[given.chat];
  if (!['begin', 'look', 'resume'].includes(command)) await settled(chat);
  const { messages, status, error, called, raw } = chat;
  process.stdout.write(`${JSON.stringify({ messages, status, error: error?.message ?? null, called, raw })}\n`);
}
