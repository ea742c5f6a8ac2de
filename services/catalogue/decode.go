package catalogue

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
)

// sampled is how many bytes are examined for UTF-16 without a byte order mark.
const sampled = 512

// decode returns the text of in as UTF-8 without a byte order mark. UTF-8 and
// UTF-16 are recognised by their marks, UTF-16 also by its NUL bytes. Other
// encodings are never guessed, since a wrong guess would read without an error: name
// states one (a label of the WHATWG encoding standard). lossy tells that U+FFFD
// replaces bytes that could not be decoded.
func decode(in io.Reader, name string) (text *bufio.Reader, lossy bool, err error) {
	raw := bufio.NewReaderSize(in, maxRow)
	head, err := raw.Peek(sampled)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, fmt.Errorf("read the file: %w", err)
	}
	mark, form := sniff(head)
	if name != "" {
		if form, err = htmlindex.Get(name); err != nil {
			return nil, false, fmt.Errorf("there is no encoding %q", name)
		}
	}
	if bytes.HasPrefix(head, []byte("\xff\xfe\x00\x00")) || bytes.HasPrefix(head, []byte("\x00\x00\xfe\xff")) {
		return nil, false, errors.New("the file is UTF-32, which is not read: convert it, with iconv -f UTF-32 -t UTF-8")
	}
	if _, err := raw.Discard(mark); err != nil {
		return nil, false, fmt.Errorf("read the file: %w", err)
	}
	if form == nil || form == unicode.UTF8 {
		return raw, false, nil
	}
	return bufio.NewReaderSize(form.NewDecoder().Reader(raw), maxRow), true, nil
}

// sniff finds the length of the byte order mark and the encoding; nil is UTF-8.
func sniff(head []byte) (mark int, form encoding.Encoding) {
	big := unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	little := unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		return 3, nil
	case bytes.HasPrefix(head, []byte("\xff\xfe")):
		return 2, little
	case bytes.HasPrefix(head, []byte("\xfe\xff")):
		return 2, big
	}
	// A header is mostly ASCII, which in UTF-16 has every other byte NUL. The text
	// after it may be of any script.
	begin := bytes.IndexFunc(head, func(r rune) bool { return r > ' ' })
	if begin < 0 {
		return 0, nil
	}
	header := head[begin:]
	if end := bytes.IndexAny(header, "\r\n"); end >= 0 {
		header = header[:end]
	}
	var nul [2]int
	for i, c := range header {
		if c == 0 {
			nul[(begin+i)%2]++
		}
	}
	switch quarter, few := len(header)/4, len(header)/16; {
	case nul[0] > quarter && nul[1] <= few:
		return 0, big
	case nul[1] > quarter && nul[0] <= few:
		return 0, little
	}
	return 0, nil
}
