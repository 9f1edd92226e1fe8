// Package realmode has guests for tests that need a real QEMU and no operating system:
// "kernels" of some bytes, in real mode, which start within milliseconds.
package realmode

import "encoding/binary"

// Kernel is a "kernel" that runs the code, in real mode.
func Kernel(code []byte) []byte {
	// The header of Linux' boot protocol 2.04, as far as QEMU reads it: one
	// sector of set-up code, entered 0x200 bytes into the file.
	k := make([]byte, 4*512)
	k[0x1f1] = 1
	binary.LittleEndian.PutUint16(k[0x1fe:], 0xaa55)
	copy(k[0x200:], []byte{0xeb, 0x6e}) // jmp 0x270, over the header
	copy(k[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(k[0x206:], 0x0204)
	k[0x211] = 1 // the kernel is loaded high
	copy(k[0x270:], code)
	return k
}

// Where the guest of Writer writes, in sectors of 512 bytes: blocks of 32 KiB, each the
// same.
const (
	firstWritten, lastWritten = 64, 0x4000
	writtenBlock              = 64
)

// Writer is a guest that writes to a disk, 0x80 being the first, through the BIOS, when it
// gets a byte on the serial port, and answers 'd' when all was written, 'e' after an error.
// It powers off on 'q'.
func Writer(drive byte) []byte {
	k := Kernel([]byte{
		0xfb,             // sti
		0xf4,             // loop: hlt, until the next timer tick
		0xba, 0xfd, 0x03, // mov dx, 0x3fd (line status)
		0xec,       // in al, dx
		0xa8, 0x01, // test al, 1
		0x74, 0xf7, // jz loop
		0xba, 0xf8, 0x03, // mov dx, 0x3f8 (data)
		0xec,      // in al, dx
		0x3c, 'q', // cmp al, 'q'
		0x74, 0x26, // je off
		0xbe, 0xc0, 0x03, // mov si, packet
		0xb8, 0x00, 0x43, // next: mov ax, 0x4300 (extended write)
		0xb2, drive, // mov dl, drive
		0xcd, 0x13, // int 0x13
		0x72, 0x12, // jc failed
		0x81, 0x06, 0xc8, 0x03, writtenBlock, 0x00, // add word [packet+8], 64
		0x81, 0x3e, 0xc8, 0x03, 0x00, 0x40, // cmp word [packet+8], 0x4000
		0x72, 0xe9, // jb next
		0xb0, 'd', // mov al, 'd'
		0xeb, 0x02, // jmp say
		0xb0, 'e', // failed: mov al, 'e'
		0xba, 0xf8, 0x03, // say: mov dx, 0x3f8
		0xee,       // out dx, al
		0xeb, 0xc9, // jmp loop
		0xba, 0x04, 0x06, // off: mov dx, 0x604 (ACPI PM1a control)
		0xb8, 0x00, 0x20, // mov ax, 0x2000 (sleep enable, type 0)
		0xef,       // out dx, ax
		0xeb, 0xc0, // jmp loop
	})
	// The disk address packet of int 0x13: the BIOS itself, from 0xf000:0, is written.
	packet := k[0x3c0:]
	packet[0] = 16
	binary.LittleEndian.PutUint16(packet[2:], writtenBlock)
	binary.LittleEndian.PutUint16(packet[6:], 0xf000)
	binary.LittleEndian.PutUint16(packet[8:], firstWritten)
	return k
}
