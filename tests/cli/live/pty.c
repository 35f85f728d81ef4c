// pty.c - pty ROWS COLUMNS SCRIPT PROGRAM [ARGUMENT...]: runs a program on a terminal of its own, types to it, and
// looks at what is on its screen. SCRIPT is a file; a line is one of
//   expect TEXT       waits until TEXT is somewhere on the screen, for at most 8 s; fails then
//   absent TEXT       the same, until it is nowhere
//   type TEXT         types it; \e is Escape, \x03 Ctrl-C, and so on
//   size ROWS COLUMNS
//   signal NUMBER     to the program
//   print             the screen, on standard output
//   restored          the terminal is as it was before the program: not the other screen, cursor seen, keys echoed
//   end STATUS        waits for the end of the program: its exit status, or 128 and its signal
// Exit status 0: all held; 1: something did not, which is printed with the screen; 2: the script is no script.
// The screen is kept by a terminal just good enough for aiox top: text, carriage return, line feed, and the escape
// sequences for going home, clearing, and switching screens; others are passed over.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <utmp.h>

enum { kRowsMax = 100, kColumnsMax = 300 };

static char g_screen[kRowsMax][kColumnsMax + 1];
static int g_rows, g_columns, g_row, g_column;
static int g_is_other_screen, g_is_cursor_hidden;
static int g_terminal = -1;
static pid_t g_child;
static int g_status = -1;
static char g_escape[64];
static int g_escape_bytes = -1;  // -1: not in a sequence

static long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void clear_from(int row, int column) {
  for (; row < kRowsMax; row++, column = 0) memset(g_screen[row] + column, ' ', (size_t)(kColumnsMax - column));
}

static void obey(void) {
  const char *text = g_escape;
  if (strcmp(text, "[H") == 0) g_row = g_column = 0;
  if (strcmp(text, "[K") == 0) memset(g_screen[g_row] + g_column, ' ', (size_t)(kColumnsMax - g_column));
  if (strcmp(text, "[J") == 0) clear_from(g_row, g_column);
  if (strcmp(text, "[2J") == 0) clear_from(0, 0);
  if (strcmp(text, "[?25l") == 0) g_is_cursor_hidden = 1;
  if (strcmp(text, "[?25h") == 0) g_is_cursor_hidden = 0;
  if (strcmp(text, "[?1049h") == 0) g_is_other_screen = 1, g_row = g_column = 0;
  if (strcmp(text, "[?1049l") == 0) g_is_other_screen = 0;
}

static void show(char c) {
  if (g_escape_bytes >= 0) {
    if (g_escape_bytes < (int)sizeof g_escape - 1) g_escape[g_escape_bytes++] = c;
    const int is_end = g_escape_bytes == 1 ? c != '[' : (c >= '@' && c <= '~');
    if (!is_end) return;
    g_escape[g_escape_bytes] = '\0';
    obey();
    g_escape_bytes = -1;
    return;
  }
  if (c == 0x1b) {
    g_escape_bytes = 0;
  } else if (c == '\r') {
    g_column = 0;
  } else if (c == '\n') {
    if (g_row + 1 < g_rows) {
      g_row++;
    } else {
      memmove(g_screen[0], g_screen[1], sizeof g_screen[0] * (size_t)(g_rows - 1));
      memset(g_screen[g_rows - 1], ' ', kColumnsMax);
    }
  } else if ((unsigned char)c >= ' ' && g_column < g_columns) {
    g_screen[g_row][g_column++] = c;
  }
}

// What comes within that time.
static void look(int ms) {
  struct pollfd entry = {g_terminal, POLLIN, 0};
  if (poll(&entry, 1, ms) > 0) {
    char text[4096];
    const ssize_t count = read(g_terminal, text, sizeof text);
    for (ssize_t i = 0; i < count; i++) show(text[i]);
    if (count <= 0) usleep(10000);
  }
  int status;
  if (g_status < 0 && waitpid(g_child, &status, WNOHANG) == g_child) {
    g_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
}

static int is_shown(const char *text) {
  for (int row = 0; row < g_rows; row++) {
    if (strstr(g_screen[row], text) != NULL) return 1;
  }
  return 0;
}

static void print_screen(void) {
  for (int row = 0; row < g_rows; row++) {
    int end = g_columns;
    while (end > 0 && g_screen[row][end - 1] == ' ') end--;
    printf("%.*s\n", end, g_screen[row]);
  }
  fflush(stdout);
}

static void set_size(int rows, int columns) {
  const struct winsize size = {(unsigned short)rows, (unsigned short)columns, 0, 0};
  g_rows = rows < kRowsMax ? rows : kRowsMax;
  g_columns = columns < kColumnsMax ? columns : kColumnsMax;
  if (g_terminal >= 0) ioctl(g_terminal, TIOCSWINSZ, &size);
}

static void type(const char *text) {
  for (; *text != '\0'; text++) {
    char c = *text;
    if (c == '\\' && text[1] == 'e') {
      c = 0x1b;
      text++;
    } else if (c == '\\' && text[1] == 'x') {
      const char digits[3] = {text[2], text[3], 0};
      c = (char)strtol(digits, NULL, 16);
      text += 3;
    }
    if (write(g_terminal, &c, 1) != 1) perror("pty: write");
  }
}

static int is_restored(void) {
  struct termios state;
  return !g_is_other_screen && !g_is_cursor_hidden && tcgetattr(g_terminal, &state) == 0 &&
         (state.c_lflag & (ICANON | ECHO)) == (ICANON | ECHO);
}

// 1: it holds. Waits for it.
static int holds(const char *word, const char *rest) {
  const long deadline = now_ms() + 8000;
  do {
    look(50);
    if (strcmp(word, "expect") == 0 && is_shown(rest)) return 1;
    if (strcmp(word, "absent") == 0 && !is_shown(rest)) return 1;
    if (strcmp(word, "restored") == 0 && is_restored()) return 1;
    if (strcmp(word, "end") == 0 && g_status >= 0) {
      for (int i = 0; i < 5; i++) look(20);
      return g_status == atoi(rest);
    }
  } while (now_ms() < deadline);
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  clear_from(0, 0);
  set_size(atoi(argv[1]), atoi(argv[2]));
  FILE *script = fopen(argv[3], "r");
  if (script == NULL) return perror(argv[3]), 2;
  const struct winsize size = {(unsigned short)g_rows, (unsigned short)g_columns, 0, 0};
  int terminal, program_side;
  if (openpty(&terminal, &program_side, NULL, NULL, &size) != 0) return perror("openpty"), 2;
  g_child = fork();
  if (g_child == 0) {
    close(terminal);
    login_tty(program_side);
    setenv("TERM", "xterm", 1);
    execv(argv[4], argv + 4);
    perror(argv[4]);
    _exit(127);
  }
  // Our copy of the other side stays open: what is left on the screen can be read when the program is gone.
  g_terminal = terminal;
  char line[1024];
  int failures = 0;
  while (failures == 0 && fgets(line, sizeof line, script) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    if (line[0] == '\0' || line[0] == '#') continue;
    char *rest = strchr(line, ' ');
    if (rest != NULL) *rest++ = '\0';
    if (rest == NULL) rest = line + strlen(line);
    int rows, columns;
    if (strcmp(line, "type") == 0) {
      type(rest);
    } else if (strcmp(line, "size") == 0 && sscanf(rest, "%d %d", &rows, &columns) == 2) {
      clear_from(0, 0);
      set_size(rows, columns);
    } else if (strcmp(line, "signal") == 0) {
      kill(g_child, atoi(rest));
    } else if (strcmp(line, "print") == 0) {
      print_screen();
    } else if (strcmp(line, "expect") == 0 || strcmp(line, "absent") == 0 || strcmp(line, "end") == 0 ||
               strcmp(line, "restored") == 0) {
      if (holds(line, rest)) continue;
      printf("FAILED: %s %s (exit status so far %d, other screen %d, cursor hidden %d); the screen:\n", line, rest,
             g_status, g_is_other_screen, g_is_cursor_hidden);
      print_screen();
      failures++;
    } else {
      fprintf(stderr, "pty: no such line: %s %s\n", line, rest);
      failures = 2;
    }
  }
  if (g_status < 0) kill(g_child, SIGKILL);
  return failures;
}
