// OpenAI's SDK for JavaScript: chat completions and responses.

import OpenAI from 'openai';
import { KEY, ORIGIN, PERSON_SCHEMA, TIMEOUT_MS, WEATHER_SCHEMA, getWeather, run } from './running.mjs';

const settings = { baseURL: `${ORIGIN}/v1`, apiKey: KEY, timeout: TIMEOUT_MS, maxRetries: 0 };
const client = new OpenAI(settings);
const about = { name: 'get_weather', description: 'Tell the weather.', parameters: WEATHER_SCHEMA };

const chat = (asked, more) => ({
  model: asked.model,
  messages: [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: asked.prompt },
  ],
  ...more,
});
const responses = (asked, more) => ({
  model: asked.model,
  input: [{ role: 'user', content: asked.prompt }],
  instructions: 'Be brief.',
  store: false,
  ...more,
});
const ofChat = (whole) => ({
  text: whole.choices[0].message.content,
  model: whole.model,
  input_tokens: whole.usage.prompt_tokens,
  output_tokens: whole.usage.completion_tokens,
});
const ofResponse = (whole) => ({
  text: whole.output_text,
  model: whole.model,
  input_tokens: whole.usage.input_tokens,
  output_tokens: whole.usage.output_tokens,
});
const isChat = (asked) => asked.dialect === 'openai-chat';

async function plain(asked) {
  const call = isChat(asked)
    ? client.chat.completions.create(chat(asked))
    : client.responses.create(responses(asked));
  const { data, response } = await call.withResponse();
  const got = isChat(asked) ? ofChat(data) : ofResponse(data);
  return { ...got, header: response.headers.get('x-pointsman-model') };
}

async function stream(asked) {
  if (isChat(asked)) {
    const options = { stream_options: { include_usage: true } };
    return ofChat(await client.chat.completions.stream(chat(asked, options)).finalChatCompletion());
  }
  return ofResponse(await client.responses.stream(responses(asked)).finalResponse());
}

async function chatTool(asked, isStream) {
  const fields = chat(asked, { tools: [{ type: 'function', function: about }] });
  const calls = [];
  for (;;) {
    const whole = isStream
      ? await client.chat.completions.stream(fields).finalChatCompletion()
      : await client.chat.completions.create(fields);
    const { message } = whole.choices[0];
    if (!message.tool_calls?.length) return { text: message.content, calls };
    fields.messages.push(message);
    for (const call of message.tool_calls) {
      const given = JSON.parse(call.function.arguments);
      calls.push([call.function.name, given]);
      fields.messages.push({ role: 'tool', tool_call_id: call.id, content: getWeather(given) });
    }
  }
}

async function tool(asked, isStream = false) {
  if (isChat(asked)) return chatTool(asked, isStream);
  const include = ['reasoning.encrypted_content'];
  const tools = [{ type: 'function', strict: true, ...about }];
  const fields = responses(asked, { tools, include });
  const calls = [];
  for (;;) {
    const whole = isStream
      ? await client.responses.stream(fields).finalResponse()
      : await client.responses.create(fields);
    const made = whole.output.filter((item) => item.type === 'function_call');
    if (!made.length) return { ...ofResponse(whole), calls };
    fields.input.push(...whole.output.map(({ parsed_arguments, ...item }) => item));
    for (const call of made) {
      const given = JSON.parse(call.arguments);
      calls.push([call.name, given]);
      const output = getWeather(given);
      fields.input.push({ type: 'function_call_output', call_id: call.call_id, output });
    }
  }
}

async function data(asked) {
  const shape = { name: 'person', schema: PERSON_SCHEMA, strict: true };
  if (isChat(asked)) {
    const format = { type: 'json_schema', json_schema: shape };
    const whole = await client.chat.completions.create(chat(asked, { response_format: format }));
    return { data: JSON.parse(whole.choices[0].message.content) };
  }
  const text = { format: { type: 'json_schema', ...shape } };
  const whole = await client.responses.create(responses(asked, { text }));
  return { data: JSON.parse(whole.output_text) };
}

await run({
  plain,
  stream,
  tool,
  'tool stream': (asked) => tool(asked, true),
  thinking: tool,
  'thinking stream': (asked) => tool(asked, true),
  data,
  missing: plain,
});
