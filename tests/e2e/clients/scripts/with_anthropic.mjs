// Anthropic's SDK for JavaScript.

import Anthropic from '@anthropic-ai/sdk';
import { KEY, ORIGIN, TIMEOUT_MS, WEATHER_SCHEMA, getWeather, run } from './running.mjs';

const client = new Anthropic({ baseURL: ORIGIN, apiKey: KEY, timeout: TIMEOUT_MS, maxRetries: 0 });
const TOOL = { name: 'get_weather', description: 'Tell the weather.', input_schema: WEATHER_SCHEMA };

const fieldsOf = (asked, more) => ({
  model: asked.model,
  max_tokens: 200,
  system: 'Be brief.',
  messages: [{ role: 'user', content: asked.prompt }],
  ...more,
});
const of = ({ content, model, usage }) => ({
  text: content.map((block) => block.text ?? '').join(''),
  model,
  input_tokens:
    usage.input_tokens +
    (usage.cache_read_input_tokens ?? 0) +
    (usage.cache_creation_input_tokens ?? 0),
  output_tokens: usage.output_tokens,
});

async function plain(asked) {
  const { data, response } = await client.messages.create(fieldsOf(asked)).withResponse();
  return { ...of(data), header: response.headers.get('x-pointsman-model') };
}

async function stream(asked) {
  return of(await client.messages.stream(fieldsOf(asked)).finalMessage());
}

async function tool(asked, isStream, more) {
  const fields = fieldsOf(asked, { tools: [TOOL], ...more });
  const calls = [];
  for (;;) {
    const whole = isStream
      ? await client.messages.stream(fields).finalMessage()
      : await client.messages.create(fields);
    if (whole.stop_reason !== 'tool_use') return { ...of(whole), calls };
    const results = whole.content
      .filter((block) => block.type === 'tool_use')
      .map((call) => {
        calls.push([call.name, call.input]);
        return { type: 'tool_result', tool_use_id: call.id, content: getWeather(call.input) };
      });
    fields.messages.push(
      { role: 'assistant', content: whole.content },
      { role: 'user', content: results },
    );
  }
}

const budget = { thinking: { type: 'enabled', budget_tokens: 1024 }, max_tokens: 4096 };

async function count(asked) {
  const { max_tokens, ...fields } = fieldsOf(asked, { tools: [TOOL] });
  return { input_tokens: (await client.messages.countTokens(fields)).input_tokens };
}

await run({
  plain,
  stream,
  tool: (asked) => tool(asked, false),
  'tool stream': (asked) => tool(asked, true),
  thinking: (asked) => tool(asked, false, budget),
  'thinking stream': (asked) => tool(asked, true, budget),
  count,
  missing: plain,
});
