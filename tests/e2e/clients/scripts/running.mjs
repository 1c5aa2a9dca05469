// What every client's script does: see running.py, which is the same for Python.

import { createInterface } from 'node:readline';

const MARK = '@@ ';
export const ORIGIN = process.env.E2E_ORIGIN;
export const KEY = process.env.E2E_KEY;
export const TIMEOUT_MS = 60_000;

export const WEATHER_SCHEMA = {
  type: 'object',
  properties: { city: { type: 'string', description: 'Where.' } },
  required: ['city'],
  additionalProperties: false,
};
export const PERSON_SCHEMA = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer' } },
  required: ['name', 'age'],
  additionalProperties: false,
};

export const getWeather = ({ city }) => `rain in ${city}`;

/** Answer every case: tasks maps a task's name to a function of the case. */
export async function run(tasks) {
  for await (const line of createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line);
    let got;
    try {
      got = await tasks[asked.task](asked);
    } catch (error) {
      const name = error?.constructor?.name ?? 'Error';
      got = { error: name, message: `${error?.message ?? error} ${error?.responseBody ?? ''}` };
    }
    process.stdout.write(`\n${MARK}${JSON.stringify(got)}\n`);
  }
}
