import { join } from 'node:path';
import type { Browser, BrowserContext, Locator, Page } from 'playwright-core';

/** How long a window may take to show something, on a machine that does much else. */
export const limit = 120_000;
/** How long anything of an emulated guest may take. */
export const guestLimit = 600_000;

/** A part of a window, in pixels. */
type Clip = { x: number; y: number; width: number; height: number };

const screenshots = join(import.meta.dirname, '../../dist/screenshots');

/** A window of VS Code, and what a user sees and touches in it. */
export class Window {
  readonly page: Page;
  private readonly context: BrowserContext;

  private constructor(page: Page, context: BrowserContext) {
    this.page = page;
    this.context = context;
  }

  /** A page without anything; each has a browser profile of its own, so nothing is remembered. */
  static async blank(browser: Browser): Promise<Window> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: 'light' });
    context.setDefaultTimeout(limit);
    return new Window(await context.newPage(), context);
  }

  static async open(browser: Browser, address: string): Promise<Window> {
    const window = await Window.blank(browser);
    await window.page.goto(address);
    await window.page.locator('.monaco-workbench .activitybar').waitFor();
    return window;
  }

  async close(): Promise<void> {
    await this.context.close();
  }

  /** Saves what the window, or a part of it, shows as a picture of the README. */
  async screenshot(name: string, clip?: Clip): Promise<void> {
    // No row lights up, and no tooltip shows, under an invisible mouse.
    await this.page.mouse.move(1272, 740);
    await this.picture(join(screenshots, `${name}.png`), clip);
  }

  /** Saves what the window shows. */
  async picture(path: string, clip?: Clip): Promise<void> {
    await this.page.screenshot({ path, animations: 'disabled', caret: 'hide', ...(clip ? { clip } : {}) });
  }

  /** Shows the NixVM view. */
  async openView(): Promise<void> {
    const icon = this.page.locator('.activitybar .action-item', { has: this.page.locator('a[aria-label^="NixVM"]') });
    if (!(await icon.evaluate((element) => element.classList.contains('checked')))) {
      await icon.click();
    }
    await this.page.locator('.sidebar .composite.title', { hasText: 'NixVM' }).waitFor();
  }

  /** Makes the side bar wide enough for what stands beside the names. */
  async widen(): Promise<void> {
    const sash = await this.page.locator('.sidebar').boundingBox();
    if (sash) {
      const edge = sash.x + sash.width + 1;
      await this.page.mouse.move(edge, 400);
      await this.page.mouse.down();
      await this.page.mouse.move(edge + 140, 400, { steps: 5 });
      await this.page.mouse.up();
    }
  }

  /** Takes what was said before out of the picture. */
  async clearNotifications(): Promise<void> {
    await this.palette('Notifications: Clear All Notifications');
    await this.page.locator('.notifications-toasts .notification-toast').first().waitFor({ state: 'detached' });
  }

  /** A row of the NixVM view: by its label, or by all of its text. */
  row(label: string | RegExp): Locator {
    return this.entry(this.page.locator('.sidebar .pane-body .monaco-list-row'), label);
  }

  /** The view, with what stands above its rows. */
  get view(): Locator {
    return this.page.locator('.sidebar .pane-body');
  }

  /** A button above the view. */
  title(label: string): Locator {
    return this.page.locator(`.sidebar .composite.title .actions-container a[aria-label^="${label}"]`);
  }

  /** What the view says when it has no rows. */
  get welcome(): Locator {
    return this.page.locator('.sidebar .welcome-view-content');
  }

  /** Opens or closes the children of a row. */
  async expand(row: Locator): Promise<void> {
    if ((await row.getAttribute('aria-expanded')) !== 'true') {
      await row.locator('.monaco-tl-twistie').click();
    }
  }

  /** Presses a button that a row shows under the mouse. */
  async inline(row: Locator, title: string): Promise<void> {
    await row.hover();
    await row.locator(`.actions a[aria-label^="${title}"]`).click();
  }

  /** Chooses from the context menu of a row. */
  async menu(row: Locator, title: string): Promise<void> {
    await row.click({ button: 'right' });
    // A menu ignores the mouse for a moment after it has come up under it.
    await this.page.locator('.monaco-menu .action-item', { hasText: title }).first().hover();
    await this.page.keyboard.press('Enter');
    await this.page.locator('.monaco-menu').waitFor({ state: 'detached' });
  }

  /** Runs a command by its name in the palette. */
  async palette(title: string): Promise<void> {
    await this.page.keyboard.press('F1');
    const input = this.quickInput.locator('input.input');
    await input.waitFor();
    await input.fill(`>${title}`);
    await this.quickInput.locator('.monaco-list-row', { hasText: title }).first().waitFor();
    await this.page.keyboard.press('Enter');
  }

  get quickInput(): Locator {
    return this.page.locator('.quick-input-widget:visible');
  }

  /** Leaves a quick input. */
  async leave(): Promise<void> {
    await this.page.keyboard.press('Escape');
    await this.page.locator('.quick-input-widget').waitFor({ state: 'hidden' });
  }

  /** Waits for a step of a quick input by its title. */
  async step(title: string | RegExp): Promise<Locator> {
    await this.quickInput.locator('.quick-input-title', { hasText: title }).waitFor();
    return this.quickInput;
  }

  /** Types an answer over what a step has, and goes on. */
  async answer(text: string): Promise<void> {
    await this.quickInput.locator('input.input').fill(text);
    await this.page.keyboard.press('Enter');
  }

  /** A row of a quick pick: by its label, or by all of its text. */
  choice(label: string | RegExp): Locator {
    return this.entry(this.quickInput.locator('.monaco-list-row'), label);
  }

  private entry(rows: Locator, label: string | RegExp): Locator {
    const labelled = typeof label === 'string' ? { has: this.page.locator('.label-name', { hasText: new RegExp(`^${RegExp.escape(label)}$`) }) } : { hasText: label };
    return rows.filter(labelled).first();
  }

  notification(text: string | RegExp): Locator {
    return this.page.locator('.notifications-toasts .notification-list-item', { hasText: text }).first();
  }

  async pressInNotification(text: string | RegExp, button: string): Promise<void> {
    await this.notification(text).locator('.monaco-button', { hasText: button }).first().click();
  }

  get dialog(): Locator {
    return this.page.locator('.monaco-dialog-box');
  }

  async answerDialog(button: string): Promise<void> {
    await this.dialog.locator('.monaco-button', { hasText: button }).click();
    await this.dialog.waitFor({ state: 'detached' });
  }

  /** An entry of the status bar by its text. */
  statusItem(text: string | RegExp): Locator {
    return this.page.locator('.statusbar .statusbar-item', { hasText: text }).first();
  }
}
